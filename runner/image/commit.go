package image

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/klauspost/compress/gzip"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/disk"
)

// Making is an image that is made of a layer.
type Making struct {
	Name   string // "": it is known by its digest alone
	Prefix string // of what it is called without a name
	// Base is the image that the layer is on; nil: on none.
	Base     *Image
	Platform string // without a base; "": the machine's own
	// Layer writes the layer as a tar archive.
	Layer func(ctx context.Context, out io.Writer) error
	// Change changes what the image says of itself; nil: nothing.
	Change  func(config *dockerspec.DockerOCIImageConfig) error
	Author  string
	By      string // what the layer comes of
	Comment string
	Now     time.Time
}

// Made is an image that was made.
type Made struct {
	Name   string
	Digest digest.Digest
	ID     digest.Digest // of its configuration
}

// Make makes an image of a layer, unpacked. Of one that can't be made nothing stays.
func (s *Store) Make(ctx context.Context, m Making) (made Made, err error) {
	if m.Name != "" {
		if made.Name, err = Normalize(m.Name); err != nil {
			return made, err
		}
		if err := CheckDigest(made.Name, ""); err != nil {
			return made, fmt.Errorf("cannot name an image %s: its digest follows from what is in it: leave it out", m.Name)
		}
	}
	before, err := s.targets(ctx)
	if err != nil {
		return made, err
	}
	var read int64
	err = s.whole(ctx, "", func(ctx context.Context) (err error) {
		if made, read, err = s.make(ctx, m, made); err != nil {
			return err
		}
		return s.nameMade(ctx, made, before)
	})
	if err != nil {
		return made, disk.Explain(err, s.dir, 2*read)
	}
	return made, nil
}

// make stores what an image consists of.
func (s *Store) make(ctx context.Context, m Making, made Made) (Made, int64, error) {
	doc, layers, err := s.start(ctx, m)
	if err != nil {
		return made, 0, err
	}
	layer, diff, size, err := s.storeLayer(ctx, m.Layer)
	if err != nil {
		return made, size, err
	}
	if len(layers) >= mostLayers {
		return made, size, fmt.Errorf("its image has %d layers already, as many as can be mounted", len(layers))
	}
	doc.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: append(doc.RootFS.DiffIDs, diff)}
	doc.Created, doc.Author = &m.Now, m.Author
	doc.History = append(doc.History, ocispec.History{Created: &m.Now, Author: m.Author, CreatedBy: m.By, Comment: m.Comment})
	if m.Change != nil {
		if err := m.Change(&doc.Config); err != nil {
			return made, size, err
		}
	}
	config, err := s.storeDocument(ctx, ocispec.MediaTypeImageConfig, doc, nil)
	if err != nil {
		return made, size, err
	}
	layers = append(layers, layer)
	labels := map[string]string{"containerd.io/gc.ref.content.config": config.Digest.String()}
	for i, l := range layers {
		labels["containerd.io/gc.ref.content.l."+strconv.Itoa(i)] = l.Digest.String()
	}
	manifest, err := s.storeDocument(ctx, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	}, labels)
	if err != nil {
		return made, size, err
	}
	made.Digest, made.ID = manifest.Digest, config.Digest
	if made.Name == "" {
		made.Name, err = Normalize(cmp.Or(m.Prefix, "image") + "@" + manifest.Digest.String())
	}
	return made, size, err
}

// start is what the image that is made begins with: what its base says and consists of.
func (s *Store) start(ctx context.Context, m Making) (*dockerspec.DockerOCIImage, []ocispec.Descriptor, error) {
	doc := &dockerspec.DockerOCIImage{}
	if m.Base == nil {
		of, err := platforms.Parse(cmp.Or(m.Platform, platforms.DefaultString()))
		if err != nil {
			return nil, nil, fmt.Errorf("%q is not a platform: %w", m.Platform, err)
		}
		doc.Platform = platforms.Normalize(of)
		return doc, nil, nil
	}
	store := documents{s.client.ContentStore()}
	manifest, err := images.Manifest(ctx, store, m.Base.ctd.Target(), m.Base.ctd.Platform())
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read image %s: %w", m.Base.Name, err)
	}
	for _, l := range manifest.Layers {
		isHere, err := content.Exists(ctx, s.client.ContentStore(), l)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read image %s: %w", m.Base.Name, err)
		}
		if !isHere {
			return nil, nil, fmt.Errorf("layer %s of image %s is not here: pull or build it again", l.Digest, m.Base.Name)
		}
	}
	return doc, manifest.Layers, s.readDocument(ctx, manifest.Config, doc)
}

// storeLayer stores a layer, and gives the digest of its archive and how many bytes that has.
func (s *Store) storeLayer(ctx context.Context, write func(context.Context, io.Writer) error) (desc ocispec.Descriptor, diff digest.Digest, size int64, err error) {
	blob, err := content.OpenWriter(ctx, s.client.ContentStore(), content.WithRef("layer-"+rand.Text()), content.WithDescriptor(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip}))
	if err != nil {
		return desc, "", 0, fmt.Errorf("cannot store a layer: %w", err)
	}
	defer blob.Close()
	packed, err := gzip.NewWriterLevel(blob, gzip.BestSpeed)
	if err != nil {
		return desc, "", 0, err
	}
	sum := digest.Canonical.Digester()
	counter := &countingWriter{to: io.MultiWriter(packed, sum.Hash())}
	if err := errors.Join(write(ctx, counter), packed.Close()); err != nil {
		return desc, "", counter.bytes, err
	}
	diff = sum.Digest()
	labels := map[string]string{"containerd.io/uncompressed": diff.String()}
	if err := blob.Commit(ctx, 0, "", content.WithLabels(labels)); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, "", counter.bytes, fmt.Errorf("cannot store a layer: %w", err)
	}
	info, err := s.client.ContentStore().Info(ctx, blob.Digest())
	if err != nil {
		return desc, "", counter.bytes, fmt.Errorf("cannot store a layer: %w", err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: info.Digest, Size: info.Size}, diff, counter.bytes, nil
}

func (s *Store) storeDocument(ctx context.Context, mediaType string, doc any, labels map[string]string) (ocispec.Descriptor, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	err = content.WriteBlob(ctx, s.client.ContentStore(), desc.Digest.String(), bytes.NewReader(text), desc, content.WithLabels(maps.Clone(labels)))
	return desc, err
}

// nameMade gives an image its name and unpacks it.
func (s *Store) nameMade(ctx context.Context, made Made, before map[string]images.Image) error {
	target, err := s.target(ctx, made.Digest)
	if err != nil {
		return err
	}
	img := images.Image{Name: made.Name, Target: target}
	if err := s.name(ctx, img); err != nil {
		return fmt.Errorf("cannot name image %s: %w", made.Name, plainError(err))
	}
	s.forget()
	var layers unpacking
	if err := s.unpackLoaded(ctx, containerd.NewImageWithPlatform(s.client, img, platforms.All), &layers); err != nil {
		err = fmt.Errorf("cannot unpack image %s: %w", made.Name, plainError(err))
		return errors.Join(err, s.restore(context.WithoutCancel(ctx), []images.Image{img}, before))
	}
	return nil
}

// countingWriter counts the bytes that are written.
type countingWriter struct {
	to    io.Writer
	bytes int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.bytes += int64(n)
	return n, err
}

// ContainerSize is how many bytes a container takes: of what it has written, and with the
// layers of its image, which others may have, too.
func (s *Store) ContainerSize(ctx context.Context, id string) (layer, total int64, err error) {
	snapshotter := s.client.SnapshotService(Snapshotter)
	for name := id; name != ""; {
		use, err := snapshotter.Usage(ctx, name)
		if errdefs.IsNotFound(err) && name == id {
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if name == id {
			layer = use.Size
		}
		total += use.Size
		info, err := snapshotter.Stat(ctx, name)
		if err != nil {
			return 0, 0, err
		}
		name = info.Parent
	}
	return layer, total, nil
}
