package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Target is what of an image can be given away.
type Target struct {
	Name  string // whole
	Root  ocispec.Descriptor
	Alone string // the one platform of an index that it is, where the others are not here
}

// Content is where the bytes of images are.
func (s *Store) Content() content.Store { return s.client.ContentStore() }

// Hosts says where registries are reached with some logins.
func (s *Store) Hosts(credentials func(host string) (user, secret string, err error)) docker.RegistryHosts {
	return s.hosts(credentials)
}

// Target is all of an image if a platform is not asked for, and all of it is here: an index with
// what it refers to. Where one platform of it alone is here, as after a pull, it is that one.
func (s *Store) Target(ctx context.Context, ref, platform string) (Target, error) {
	found, err := s.resolve(ctx, ref)
	if err != nil {
		return Target{}, err
	}
	if platform != "" {
		return s.targetOf(ctx, ref, platform)
	}
	t := Target{Name: found.Name, Root: found.Target}
	lacking, err := s.lacking(ctx, found.Target, map[digest.Digest]bool{})
	if err != nil || lacking == "" {
		return t, err
	}
	if !images.IsIndexType(found.Target.MediaType) {
		return t, notWhole(ref, lacking)
	}
	all, err := s.variants(ctx, found.Target)
	if err != nil {
		return t, fmt.Errorf("cannot read image %s: %w", ref, err)
	}
	var whole, others []string
	for _, v := range all {
		if part, err := s.lacking(ctx, v.manifest, map[digest.Digest]bool{}); err == nil && part == "" {
			t.Root, t.Alone = v.manifest, v.Platform
			whole = append(whole, v.Platform)
		} else {
			others = append(others, v.Platform)
		}
	}
	switch len(whole) {
	case 0:
		return t, notWhole(ref, lacking)
	case 1:
		return t, nil
	}
	return t, fmt.Errorf("image %s is not here whole: without %s: pull that with \"orlop image pull --platform\", or take one platform with --platform, such as %s",
		ref, strings.Join(others, ", "), whole[0])
}

func notWhole(ref string, lacking digest.Digest) error {
	return fmt.Errorf("image %s is not here whole: %s is missing: pull or build it again", ref, lacking)
}

// targetOf is an image of one platform.
func (s *Store) targetOf(ctx context.Context, ref, platform string) (Target, error) {
	d, err := s.Details(ctx, ref, platform)
	if err != nil {
		return Target{}, err
	}
	if lacking, err := s.lacking(ctx, d.manifest, map[digest.Digest]bool{}); err != nil {
		return Target{}, err
	} else if lacking != "" {
		return Target{}, notWhole(ref, lacking)
	}
	return Target{Name: d.Name, Root: d.manifest}, nil
}

// lacking is the first thing that a document refers to and that is not here; "" if all is.
func (s *Store) lacking(ctx context.Context, d ocispec.Descriptor, seen map[digest.Digest]bool) (digest.Digest, error) {
	if seen[d.Digest] || images.IsNonDistributable(d.MediaType) {
		return "", nil
	}
	seen[d.Digest] = true
	store := s.client.ContentStore()
	if isHere, err := content.Exists(ctx, store, d); err != nil || !isHere {
		return d.Digest, err
	}
	parts, err := documents{store}.children(ctx, d)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", d.Digest, err)
	}
	for _, part := range parts {
		if lacking, err := s.lacking(ctx, part, seen); err != nil || lacking != "" {
			return lacking, err
		}
	}
	return "", nil
}
