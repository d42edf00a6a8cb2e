package image

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Gate says which images are used.
type Gate interface {
	// Fetch is asked when it is known to what a name of a registry points, and before any of that is fetched. What it gives
	// is called when the image is here, to note what was found.
	Fetch(ctx context.Context, a Arrival) (noted func(context.Context) error, err error)
	// Use is asked before a container is made of an image that is here: of what its name points to and, where that is
	// an index, of the manifest in it.
	Use(ctx context.Context, name string, digests ...digest.Digest) error
}

// Arrival is an image that is about to be fetched.
type Arrival struct {
	Name     string // in full
	Root     ocispec.Descriptor
	Platform platforms.MatchComparer
	Hosts    docker.RegistryHosts
}

// LabelMade is the label of an image that came from no registry: it was built, committed or loaded here.
const LabelMade = "io.orlop.made-here"

// MarkMade notes of an image that it was made or loaded here.
func MarkMade(ctx context.Context, store content.Manager, d digest.Digest) error {
	_, err := store.Update(ctx, content.Info{Digest: d, Labels: map[string]string{LabelMade: "true"}}, "labels."+LabelMade)
	return err
}

// refusal is the error of a gate, in whose words it is told.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// gated is a resolver of a pull that fetches what the gate admits alone.
type gated struct {
	remotes.Resolver
	admit func(ctx context.Context, name string, root ocispec.Descriptor) error
}

// Resolve implements remotes.Resolver.
func (g gated) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	name, found, err := g.Resolver.Resolve(ctx, ref)
	if err == nil {
		err = g.admit(ctx, name, found)
	}
	return name, found, err
}

// ManifestIn is the manifest of an index that a platform gets, by the choice that containerd makes.
func ManifestIn(index []byte, platform platforms.MatchComparer) (digest.Digest, bool) {
	var doc ocispec.Index
	if json.Unmarshal(index, &doc) != nil {
		return "", false
	}
	var fit []ocispec.Descriptor
	for _, m := range doc.Manifests {
		if m.Platform == nil || platform.Match(*m.Platform) {
			fit = append(fit, m)
		}
	}
	sort.SliceStable(fit, func(i, j int) bool {
		return fit[i].Platform != nil && (fit[j].Platform == nil || platform.Less(*fit[i].Platform, *fit[j].Platform))
	})
	if len(fit) == 0 {
		return "", false
	}
	return fit[0].Digest, true
}

// admit asks the gate whether a container may be made of the image.
func (i *Image) admit(ctx context.Context) error {
	if i.store.Gate == nil {
		return nil
	}
	manifest, err := i.Manifest(ctx)
	if err != nil {
		return err
	}
	if manifest == i.Digest {
		return i.store.Gate.Use(ctx, i.Name, i.Digest)
	}
	return i.store.Gate.Use(ctx, i.Name, i.Digest, manifest)
}

// Manifest is the digest of the manifest that is meant: of an index the one for its platform.
func (i *Image) Manifest(ctx context.Context) (digest.Digest, error) {
	target := i.ctd.Target()
	if !images.IsIndexType(target.MediaType) {
		return target.Digest, nil
	}
	text, err := content.ReadBlob(ctx, i.store.client.ContentStore(), target)
	if err != nil {
		return "", fmt.Errorf("cannot read image %s: %w", i.Name, err)
	}
	if d, ok := ManifestIn(text, i.platform); ok {
		return d, nil
	}
	return target.Digest, nil
}
