package image

import (
	"cmp"
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

	manifest ocispec.Descriptor // of the platform
}

// Manifest is the digest of the platform's manifest.
func (d *Details) Manifest() digest.Digest { return d.manifest.Digest }

// Layer is what a step has changed of the files.
type Layer struct {
	Digest    digest.Digest // as it is sent
	DiffID    digest.Digest // of its tar
	MediaType string
	Sent      int64 // bytes, as it is sent
	Unpacked  int64 // bytes on the disk; -1 if it is not unpacked
	IsView    bool  // its blob is read out of what is unpacked, and takes nothing besides
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

	manifest ocispec.Descriptor
}

// Details tells what the image of a platform consists of; "" is the machine's own, or the
// first one that is here.
func (s *Store) Details(ctx context.Context, ref, platform string) (*Details, error) {
	found, err := s.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	var want platforms.MatchComparer
	if platform != "" {
		if want, err = matcherOf(platform); err != nil {
			return nil, err
		}
	}
	out := &Details{Name: found.Name, Digest: found.Target.Digest, manifest: found.Target}
	if images.IsIndexType(found.Target.MediaType) {
		if out.Variants, err = s.variants(ctx, found.Target); err != nil {
			return nil, fmt.Errorf("cannot read image %s: %w", ref, err)
		}
		v := choose(out.Variants, want)
		if v == nil {
			return nil, fmt.Errorf("image %s is not here for %s: run \"orlop pull\" for that platform", ref, cmp.Or(platform, platforms.DefaultString()))
		}
		out.manifest, out.Platform = v.manifest, v.Platform
	}
	if err := s.readManifest(ctx, out); err != nil {
		return nil, fmt.Errorf("cannot read image %s: %w", ref, err)
	}
	if of, err := platforms.Parse(out.Platform); want != nil && (err != nil || !want.Match(of)) {
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

// choose is the image of an index that is meant, of those that are here; nil if none is.
func choose(all []Variant, want platforms.MatchComparer) *Variant {
	order, isAsked := want, want != nil
	if !isAsked {
		order = platforms.Default()
	}
	var best *Variant
	var bestOf ocispec.Platform
	for i := range all {
		v := &all[i]
		of, err := platforms.Parse(v.Platform)
		if !v.IsHere || err != nil || !order.Match(of) {
			continue
		}
		if best == nil || order.Less(of, bestOf) {
			best, bestOf = v, of
		}
	}
	if best != nil || isAsked {
		return best
	}
	if i := slices.IndexFunc(all, func(v Variant) bool { return v.IsHere }); i >= 0 {
		return &all[i]
	}
	return nil
}

// attestationOf and attestationKind are annotations of what BuildKit says of an image in an
// index (its docs/attestations/attestation-storage.md).
const (
	attestationOf   = "vnd.docker.reference.digest"
	attestationKind = "vnd.docker.reference.type"
	predicateType   = "in-toto.io/predicate-type"
)

// variants are the images of an index.
func (s *Store) variants(ctx context.Context, target ocispec.Descriptor) ([]Variant, error) {
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
		v := Variant{Digest: m.Digest, IsHere: s.isHere(ctx, m), manifest: m}
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

// readManifest reads the layers and the steps of the image that is meant.
func (s *Store) readManifest(ctx context.Context, out *Details) error {
	var manifest ocispec.Manifest
	err := s.readDocument(ctx, out.manifest, &manifest)
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
	if out.ID = manifest.Config.Digest; out.Platform == "" { // an index says it better: of which variant of a processor
		out.Platform = platforms.Format(platforms.Normalize(config.Platform))
	}
	for i, l := range manifest.Layers {
		size, err := s.unpackedSize(ctx, config.RootFS.DiffIDs[:i+1])
		if err != nil {
			return err
		}
		out.Layers = append(out.Layers, Layer{Digest: l.Digest, DiffID: config.RootFS.DiffIDs[i], MediaType: l.MediaType, Sent: l.Size, Unpacked: size, IsView: size >= 0 && s.isView(ctx, l.Digest)})
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

// isView says that the blob of a layer is read out of a snapshot.
func (s *Store) isView(ctx context.Context, blob digest.Digest) bool {
	info, err := s.client.ContentStore().Info(ctx, blob)
	return err == nil && info.Labels[LabelView] != ""
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
