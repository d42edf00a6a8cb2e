package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/planner"
)

// An image whose name was given to another one is still there as long as a container that was
// made of it is, or Keep holds it.

// At is Get of an image that the reference named when it had a digest; "" is as it is named now.
func (s *Store) At(ctx context.Context, ref, sum, platform string) (*Image, error) {
	if sum == "" {
		return s.Get(ctx, ref, platform)
	}
	name, err := Normalize(ref)
	if err != nil && !hashBegin().MatchString(ref) {
		return nil, err
	}
	target, err := s.target(ctx, digest.Digest(sum))
	if err != nil {
		return nil, fmt.Errorf("image %s (%s) is not here: %w", ref, sum, err)
	}
	if hashBegin().MatchString(ref) {
		if name, err = s.nameOfDigest(ctx, name, target.Digest); err != nil {
			return nil, err
		}
	}
	return s.read(ctx, ref, images.Image{Name: name, Target: target}, platform)
}

// nameOfDigest is the first name of what has a digest, or "", unless the digits by which it is given are a name as well.
func (s *Store) nameOfDigest(ctx context.Context, digits string, sum digest.Digest) (string, error) {
	if _, err := s.client.ImageService().Get(ctx, digits); err == nil {
		return digits, nil
	}
	list, err := s.client.ImageService().List(ctx, "target.digest=="+sum.String())
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].Name, nil
}

// target describes a manifest or an index, which may have no name, by its digest.
func (s *Store) target(ctx context.Context, sum digest.Digest) (desc ocispec.Descriptor, err error) {
	if err := sum.Validate(); err != nil {
		return desc, err
	}
	store := s.client.ContentStore()
	info, err := store.Info(ctx, sum)
	if err != nil {
		return desc, err
	}
	desc = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: sum, Size: info.Size}
	if err := checkDocument(desc); err != nil {
		return desc, err
	}
	text, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return desc, err
	}
	var doc struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return desc, err
	}
	switch {
	case images.IsManifestType(doc.MediaType) || images.IsIndexType(doc.MediaType):
		desc.MediaType = doc.MediaType
	case len(doc.Manifests) == 0:
		desc.MediaType = ocispec.MediaTypeImageManifest
	}
	return desc, nil
}

// Whole are the digests of the images that containers were made of and that others can be made of.
func (s *Store) Whole(ctx context.Context, list []planner.Container, machine string) map[string]bool {
	whole, seen := map[string]bool{}, map[string]bool{}
	for i := range list {
		made := list[i].Applied
		if made == nil || made.Image == "" || seen[made.Image] {
			continue
		}
		seen[made.Image] = true
		if s.isWhole(ctx, made.Image, made.Service.PlatformOn(machine)) {
			whole[made.Image] = true
		}
	}
	return whole
}

// isWhole says that a writable layer can be made on an image.
func (s *Store) isWhole(ctx context.Context, sum, platform string) bool {
	img, err := s.At(ctx, "image", sum, platform)
	if err != nil {
		return false
	}
	info, err := s.client.SnapshotService(Snapshotter).Stat(ctx, identity.ChainID(img.diffs).String())
	return err == nil && info.Kind == snapshots.KindCommitted
}

// labelKept is the label of a lease of images that are held for an update.
const labelKept = "io.orlop.kept"

// keepTime is how long an update may take: what an engine that was killed held goes with the start of
// the next one.
const keepTime = 30 * 24 * time.Hour

// Keep holds images by their digests until release is called, whatever becomes of their names.
func (s *Store) Keep(ctx context.Context, digests []string) (release func(), err error) {
	if len(digests) == 0 {
		return func() {}, nil
	}
	manager := s.client.LeasesService()
	lease, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(keepTime), leases.WithLabel(labelKept, "update"))
	if err != nil {
		return nil, fmt.Errorf("cannot hold images: %w", err)
	}
	release = func() { _ = manager.Delete(context.WithoutCancel(ctx), lease) } // one that stays goes with the next start
	for _, sum := range digests {
		if err := s.addKept(ctx, lease, sum); err != nil {
			release()
			return nil, fmt.Errorf("cannot hold image %s: %w", sum, err)
		}
	}
	return release, nil
}

// addKept adds an image to a lease: its documents and layers, and what they were unpacked to.
func (s *Store) addKept(ctx context.Context, lease leases.Lease, sum string) error {
	manager := s.client.LeasesService()
	if err := manager.AddResource(ctx, lease, leases.Resource{ID: sum, Type: "content"}); err != nil {
		return err
	}
	img, err := s.At(ctx, "image", sum, "")
	if err != nil {
		return nil // of another machine: its layers are unpacked again
	}
	return manager.AddResource(ctx, lease, leases.Resource{ID: identity.ChainID(img.diffs).String(), Type: "snapshots/" + Snapshotter})
}

// DropKept lets go of what an engine held that was killed.
func (s *Store) DropKept(ctx context.Context) error {
	manager := s.client.LeasesService()
	list, err := manager.List(ctx, fmt.Sprintf("labels.%q", labelKept))
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range list {
		if err := manager.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
