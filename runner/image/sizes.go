package image

import (
	"context"
	"maps"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Size is what the layers of an image take on the disk, as containers see them, in bytes.
type Size struct {
	All    int64
	Shared int64 // of layers that another image has too
}

// Sizes are those of all images, by the digests that their names point to. total is what all of it takes
// together, with what it was unpacked from. An image of several platforms counts with the machine's own.
func (s *Store) Sizes(ctx context.Context) (sizes map[string]Size, total int64, err error) {
	layers, err := s.layers(ctx)
	if err != nil {
		return nil, 0, err
	}
	sizes, total = add(layers)
	return sizes, total, nil
}

// Without is what all images would take together if those of some digests were not here.
func (s *Store) Without(ctx context.Context, gone func(digest string) bool) (int64, error) {
	layers, err := s.layers(ctx)
	if err != nil {
		return 0, err
	}
	maps.DeleteFunc(layers, func(sum digest.Digest, _ []Layer) bool { return gone(sum.String()) })
	_, total := add(layers)
	return total, nil
}

// layers are those of all images, by the digests that their names point to.
func (s *Store) layers(ctx context.Context) (map[digest.Digest][]Layer, error) {
	list, err := s.client.ImageService().List(ctx)
	if err != nil {
		return nil, err
	}
	layers := map[digest.Digest][]Layer{} // by what a name points to
	for _, img := range list {
		if _, known := layers[img.Target.Digest]; known {
			continue
		}
		d, err := s.Details(ctx, img.Name, "")
		if err != nil {
			layers[img.Target.Digest] = nil // it is damaged, or not here whole
			continue
		}
		layers[img.Target.Digest] = d.Layers
	}
	return layers, nil
}

// add adds up layers: the same one on the same ones below it is there once.
func add(layers map[digest.Digest][]Layer) (sizes map[string]Size, total int64) {
	owners, sent := map[digest.Digest]int{}, map[digest.Digest]bool{}
	each := func(of []Layer, f func(chain digest.Digest, l Layer)) {
		diffs := make([]digest.Digest, 0, len(of))
		for _, l := range of {
			diffs = append(diffs, l.DiffID)
			f(identity.ChainID(append([]digest.Digest(nil), diffs...)), l)
		}
	}
	for _, of := range layers {
		each(of, func(chain digest.Digest, l Layer) {
			if owners[chain]++; owners[chain] == 1 {
				total += max(l.Unpacked, 0)
			}
			if !l.IsView && !sent[l.Digest] {
				sent[l.Digest] = true
				total += l.Sent
			}
		})
	}
	sizes = map[string]Size{}
	for sum, of := range layers {
		var size Size
		each(of, func(chain digest.Digest, l Layer) {
			bytes := l.Unpacked
			if bytes < 0 {
				bytes = l.Sent
			}
			size.All += bytes
			if owners[chain] > 1 {
				size.Shared += bytes
			}
		})
		sizes[sum.String()] = size
	}
	return sizes, total
}
