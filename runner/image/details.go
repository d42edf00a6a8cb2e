package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Details are what an image consists of.
type Details struct {
	Name     string
	Names    []string // all that point to the same as Name, itself among them
	Digest   digest.Digest
	ID       digest.Digest // of its configuration
	Platform string        // that the rest is of
	Config   []byte        // the configuration, as it is in the image (OCI image-spec, config.md)
	Layers   []Layer       // from the lowest on
	History  []Step        // from the first on
	Variants []Variant     // of an index: the platforms that it has, of which some may be here
}

// Layer is what a step has changed of the files.
type Layer struct {
	Digest    digest.Digest // as it is sent
	DiffID    digest.Digest // of its tar
	MediaType string
	Sent      int64 // bytes, as it is sent
	Unpacked  int64 // bytes on the disk; -1 if it is not unpacked
}

// Step is an instruction that an image was made by.
type Step struct {
	Created time.Time // zero: not known
	By      string
	Comment string
	Layer   *Layer // nil: it changed no file
}

// Variant is an image of an index.
type Variant struct {
	Platform     string
	Digest       digest.Digest
	IsHere       bool     // it was pulled or loaded
	Attestations []string // the types of what is said of it (in-toto predicate types)
}

// Details tells what the image of a platform consists of; "" is the machine's own, or the
// only one that is here.
func (s *Store) Details(ctx context.Context, ref, platform string) (*Details, error) {
	found, err := s.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	out := &Details{Name: found.Name, Digest: found.Target.Digest}
	if out.Variants, err = s.variants(ctx, found.Target); err != nil {
		return nil, fmt.Errorf("cannot read image %s: %w", ref, err)
	}
	chosen, err := out.choose(ref, platform)
	if err != nil {
		return nil, err
	}
	if err := s.readManifest(ctx, found.Target, chosen, out); err != nil {
		return nil, fmt.Errorf("cannot read image %s: %w", ref, err)
	}
	if platform != "" && out.Platform != chosen { // of an image that is of one platform alone
		return nil, fmt.Errorf("image %s is of %s, not of %s", ref, out.Platform, platform)
	}
	all, err := s.client.ImageService().List(ctx, "target.digest=="+found.Target.Digest.String())
	if err != nil {
		return nil, fmt.Errorf("cannot list the names of image %s: %w", ref, err)
	}
	for _, img := range all {
		out.Names = append(out.Names, img.Name)
	}
	slices.Sort(out.Names)
	return out, nil
}

// choose is the platform that is meant: one that is asked for must be here.
func (d *Details) choose(ref, platform string) (string, error) {
	var here []string
	for _, v := range d.Variants {
		if v.IsHere {
			here = append(here, v.Platform)
		}
	}
	if platform == "" {
		if len(here) == 1 {
			return here[0], nil
		}
		return "", nil
	}
	want, err := platforms.Parse(platform)
	if err != nil {
		return "", fmt.Errorf("%q is not a platform: %w", platform, err)
	}
	name := platforms.Format(platforms.Normalize(want))
	if len(d.Variants) > 0 && !slices.Contains(here, name) {
		return "", fmt.Errorf("image %s is not here for %s: run \"orlop pull\" with that platform", ref, platform)
	}
	return name, nil
}

// attestationOf and attestationKind are annotations of what BuildKit says of an image in an
// index (its docs/attestations/attestation-storage.md).
const (
	attestationOf   = "vnd.docker.reference.digest"
	attestationKind = "vnd.docker.reference.type"
	predicateType   = "in-toto.io/predicate-type"
)

// variants are the images of an index; of another image, none.
func (s *Store) variants(ctx context.Context, target ocispec.Descriptor) ([]Variant, error) {
	if !images.IsIndexType(target.MediaType) {
		return nil, nil
	}
	var index ocispec.Index
	if err := s.readDocument(ctx, target, &index); err != nil {
		return nil, err
	}
	var out []Variant
	said := map[digest.Digest][]string{}
	for _, m := range index.Manifests {
		if m.Annotations[attestationKind] != "" {
			of := digest.Digest(m.Annotations[attestationOf])
			said[of] = append(said[of], s.predicates(ctx, m)...)
			continue
		}
		v := Variant{Digest: m.Digest, IsHere: s.isHere(ctx, m)}
		if m.Platform != nil {
			v.Platform = platforms.Format(platforms.Normalize(*m.Platform))
		}
		out = append(out, v)
	}
	for i := range out {
		out[i].Attestations = said[out[i].Digest]
	}
	return out, nil
}

// isHere says that a manifest and the configuration that it names are.
func (s *Store) isHere(ctx context.Context, m ocispec.Descriptor) bool {
	var manifest ocispec.Manifest
	if s.readDocument(ctx, m, &manifest) != nil {
		return false
	}
	_, err := s.client.ContentStore().Info(ctx, manifest.Config.Digest)
	return err == nil
}

// predicates are the types of what a manifest of attestations says; none where that is not here.
func (s *Store) predicates(ctx context.Context, m ocispec.Descriptor) (types []string) {
	var manifest ocispec.Manifest
	if s.readDocument(ctx, m, &manifest) != nil {
		return nil
	}
	for _, l := range manifest.Layers {
		types = append(types, l.Annotations[predicateType])
	}
	return types
}

func (s *Store) readDocument(ctx context.Context, desc ocispec.Descriptor, out any) error {
	blob, err := content.ReadBlob(ctx, documents{s.client.ContentStore()}, desc)
	if err != nil {
		return err
	}
	return json.Unmarshal(blob, out)
}

// readManifest reads the layers and the steps of the image of a platform.
func (s *Store) readManifest(ctx context.Context, target ocispec.Descriptor, platform string, out *Details) error {
	matcher, err := matcherOf(platform)
	if err != nil {
		return err
	}
	if !images.IsIndexType(target.MediaType) {
		matcher = platforms.All
	}
	manifest, err := images.Manifest(ctx, s.client.ContentStore(), target, matcher)
	if err != nil {
		return err
	}
	if out.Config, err = content.ReadBlob(ctx, documents{s.client.ContentStore()}, manifest.Config); err != nil {
		return err
	}
	var config ocispec.Image
	if err := json.Unmarshal(out.Config, &config); err != nil {
		return err
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return fmt.Errorf("its configuration has %d layers, its manifest %d", len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	out.ID, out.Platform = manifest.Config.Digest, platforms.Format(platforms.Normalize(config.Platform))
	for i, l := range manifest.Layers {
		size, err := s.unpackedSize(ctx, config.RootFS.DiffIDs[:i+1])
		if err != nil {
			return err
		}
		out.Layers = append(out.Layers, Layer{Digest: l.Digest, DiffID: config.RootFS.DiffIDs[i], MediaType: l.MediaType, Sent: l.Size, Unpacked: size})
	}
	out.History = steps(config.History, out.Layers)
	return nil
}

// unpackedSize is what the last of some layers takes on the disk; -1 if it is not unpacked.
func (s *Store) unpackedSize(ctx context.Context, diffs []digest.Digest) (int64, error) {
	use, err := s.client.SnapshotService(Snapshotter).Usage(ctx, identity.ChainID(diffs).String())
	if errdefs.IsNotFound(err) {
		return -1, nil
	}
	return use.Size, err
}

// steps gives each step its layer. An image may have layers that its history doesn't tell of.
func steps(history []ocispec.History, layers []Layer) (out []Step) {
	next := 0
	take := func() *Layer {
		if next == len(layers) {
			return nil
		}
		next++
		return &layers[next-1]
	}
	for _, h := range history {
		step := Step{By: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			step.Created = *h.Created
		}
		if !h.EmptyLayer {
			step.Layer = take()
		}
		out = append(out, step)
	}
	for next < len(layers) {
		out = append(out, Step{Layer: take()})
	}
	return out
}
