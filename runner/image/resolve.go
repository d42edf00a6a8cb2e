package image

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hashBegin is the beginning of a digest, which has six digits at least: fewer are more likely
// a name.
var hashBegin = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(sha256:)?[0-9a-f]{6,64}$`) })

// resolve finds an image by a name, by the digest of its configuration (its ID) or of what
// its name points to, or by the first digits of these.
func (s *Store) resolve(ctx context.Context, ref string) (images.Image, error) {
	name, err := Normalize(ref)
	isHash := hashBegin().MatchString(ref)
	if err != nil && !isHash {
		return images.Image{}, err
	}
	if err == nil {
		found, err := s.client.ImageService().Get(ctx, name)
		if err == nil || !errdefs.IsNotFound(err) {
			return found, err
		}
	}
	if !isHash {
		return images.Image{}, absent(ref)
	}
	return s.byDigest(ctx, ref)
}

// absentError is an image that nothing here has for a name or digest.
type absentError struct{ ref string }

func (e *absentError) Error() string {
	return "image " + e.ref + " is not here: see \"orlop image ls\""
}

func absent(ref string) error { return &absentError{ref} }

// IsAbsent says that an error is that of an image which is not here.
func IsAbsent(err error) bool {
	_, is := errors.AsType[*absentError](err)
	return is
}

func (s *Store) byDigest(ctx context.Context, ref string) (images.Image, error) {
	hash := strings.TrimPrefix(ref, "sha256:")
	list, err := s.client.ImageService().List(ctx)
	if err != nil {
		return images.Image{}, fmt.Errorf("cannot list images: %w", err)
	}
	var found []images.Image
	digests := map[string]bool{}
	for _, img := range list {
		if slices.ContainsFunc(s.digestsOf(ctx, img.Target), func(d digest.Digest) bool { return strings.HasPrefix(d.Encoded(), hash) }) {
			found = append(found, img)
			digests[img.Target.Digest.String()] = true
		}
	}
	switch {
	case len(found) == 0:
		return images.Image{}, absent(ref)
	case len(digests) > 1 && len(hash) < 64: // one configuration may be of several indexes
		return images.Image{}, fmt.Errorf("%d images have a digest that begins with %s: write more of it", len(digests), ref)
	}
	return found[0], nil
}

// digestsOf are those that an image is known by: of what its name points to, and of the
// manifests and configurations that are here.
func (s *Store) digestsOf(ctx context.Context, target ocispec.Descriptor) []digest.Digest {
	all := []digest.Digest{target.Digest}
	if images.IsIndexType(target.MediaType) {
		var index ocispec.Index
		if s.readDocument(ctx, target, &index) != nil {
			return all
		}
		for _, m := range index.Manifests {
			if m.Annotations[attestationKind] == "" && s.isHere(ctx, m) {
				all = append(all, s.digestsOf(ctx, m)...)
			}
		}
		return all
	}
	var manifest ocispec.Manifest
	if s.readDocument(ctx, target, &manifest) == nil {
		all = append(all, manifest.Config.Digest)
	}
	return all
}

// Names are all names of the image that a name, or the digits of a digest, are of, and its digest. isName says that it was named: then that
// name is the first of them.
func (s *Store) Names(ctx context.Context, ref string) (all []string, digest string, isName bool, err error) {
	found, err := s.resolve(ctx, ref)
	if err != nil {
		return nil, "", false, err
	}
	name, invalid := Normalize(ref)
	isName = invalid == nil && found.Name == name
	list, err := s.client.ImageService().List(ctx, "target.digest=="+found.Target.Digest.String())
	if err != nil {
		return nil, "", false, fmt.Errorf("cannot list the names of image %s: %w", ref, err)
	}
	for _, img := range list {
		all = append(all, img.Name)
	}
	slices.Sort(all)
	if isName {
		all = append([]string{name}, slices.DeleteFunc(all, func(other string) bool { return other == name })...)
	}
	return all, found.Target.Digest.String(), isName, nil
}

// NameOf is the name of an image that is named or given by a digest. One of several names
// must be named; a name need not be here.
func (s *Store) NameOf(ctx context.Context, ref string) (string, error) {
	name, invalid := Normalize(ref)
	found, err := s.resolve(ctx, ref)
	switch {
	case err != nil:
		if IsAbsent(err) && invalid == nil {
			return name, nil
		}
		return "", err
	case found.Name == name:
		return name, nil
	}
	all, err := s.client.ImageService().List(ctx, "target.digest=="+found.Target.Digest.String())
	if err != nil {
		return "", fmt.Errorf("cannot list the names of image %s: %w", ref, err)
	}
	if len(all) > 1 {
		return "", fmt.Errorf("image %s has %d names, %s among them: say which", ref, len(all), found.Name)
	}
	return found.Name, nil
}
