package image

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
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

func absent(ref string) error { return fmt.Errorf("image %s is not here: see \"orlop image ls\"", ref) }

func (s *Store) byDigest(ctx context.Context, ref string) (images.Image, error) {
	hash := strings.TrimPrefix(ref, "sha256:")
	list, err := s.client.ImageService().List(ctx)
	if err != nil {
		return images.Image{}, fmt.Errorf("cannot list images: %w", err)
	}
	var found []images.Image
	digests := map[string]bool{}
	for _, img := range list {
		of := []string{img.Target.Digest.Encoded()}
		if config, err := containerd.NewImageWithPlatform(s.client, img, platforms.Any()).Config(ctx); err == nil {
			of = append(of, config.Digest.Encoded())
		}
		if slices.ContainsFunc(of, func(d string) bool { return strings.HasPrefix(d, hash) }) {
			found = append(found, img)
			digests[img.Target.Digest.String()] = true
		}
	}
	switch {
	case len(found) == 0:
		return images.Image{}, absent(ref)
	case len(digests) > 1:
		return images.Image{}, fmt.Errorf("%d images have a digest that begins with %s: write more of it", len(digests), ref)
	}
	return found[0], nil
}
