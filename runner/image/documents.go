package image

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what an image says of itself. Its documents are read whole.
const (
	// mostDocument is how many bytes a manifest, an index or a configuration may
	// have: containerd's limit for manifests.
	mostDocument = 4 * 1048 * 1048
	// mostLayers is how many layers an image may have: Linux mounts no more.
	mostLayers = 500
)

// Documents is a content store for others who read documents whole: it opens none
// that is too large.
func Documents(store content.Store) content.Store { return documents{store} }

// documents is a content store whose documents are of a size to be read whole.
type documents struct{ content.Store }

// ReaderAt opens a blob.
func (d documents) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ra, err := d.Store.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	desc.Size = ra.Size() // what its descriptor says can be anything
	if err := checkDocument(desc); err != nil {
		ra.Close()
		return nil, err
	}
	return ra, nil
}

// children are what a document consists of. One without parts is looked at as well.
func (d documents) children(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !isConfig(desc.MediaType) {
		return images.Children(ctx, d, desc)
	}
	ra, err := d.ReaderAt(ctx, desc)
	if err != nil {
		return nil, err
	}
	return nil, ra.Close()
}

// checkDocument is an error if a blob is a document that is too large.
func checkDocument(desc ocispec.Descriptor) error {
	if isDocument(desc.MediaType) && desc.Size > mostDocument {
		return fmt.Errorf("its %s %s has %d bytes, more than the %d that one may have", kindOf(desc), desc.Digest, desc.Size, mostDocument)
	}
	return nil
}

func isDocument(mediaType string) bool {
	return images.IsManifestType(mediaType) || images.IsIndexType(mediaType) || isConfig(mediaType)
}

func isConfig(mediaType string) bool {
	return images.IsConfigType(mediaType) || mediaType == docker.LegacyConfigMediaType
}

// checkManifest looks at what a manifest consists of: the configuration, which must
// be one by its media type, so that its size is held against the limit, and layers.
func checkManifest(parts []ocispec.Descriptor) error {
	if len(parts) == 0 {
		return nil
	}
	if config := parts[0]; !isConfig(config.MediaType) {
		return fmt.Errorf("it is no image that can be run: its configuration is of type %.100q", config.MediaType)
	}
	if n := len(parts) - 1; n > mostLayers {
		return fmt.Errorf("it has %d layers, more than the %d that can be mounted", n, mostLayers)
	}
	return nil
}

// checkingManifests wraps the handler of a pull, which gives what each document
// consists of.
func checkingManifests(next images.Handler) images.Handler {
	return images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		parts, err := next.Handle(ctx, desc)
		if err == nil && images.IsManifestType(desc.MediaType) {
			err = checkManifest(parts)
		}
		return parts, err
	})
}
