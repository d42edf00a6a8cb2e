package values

import (
	"fmt"
	"slices"

	"github.com/containerd/platforms"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// platforms checks which machines a service's image is for: what it is run as must be
// among what it is built for (Compose Specification, platforms).
func (c checker) platforms(s *tree.Node, path string) {
	n := s.Value("platform")
	if n == nil || n.Kind != tree.ScalarNode || n.Text == "" {
		return
	}
	c.platform(n, path+".platform")
	built := s.Value("build").Value("platforms")
	if built == nil || len(built.Items) == 0 {
		return
	}
	if !slices.ContainsFunc(built.Items, func(item *tree.Node) bool { return item.Kind != tree.ScalarNode || item.Text == n.Text }) {
		c.Fail(n, path+".platform", fmt.Sprintf("%q is not one of build.platforms", spec.Shorten(n.Text)), "add it there, or take it away here")
	}
}

// platform checks the name of a platform: OS/ARCHITECTURE, with a variant after it.
func (c checker) platform(n *tree.Node, at string) {
	if _, err := platforms.Parse(n.Text); err != nil {
		c.Fail(n, at, fmt.Sprintf("%q is not a platform", spec.Shorten(n.Text)), "write one such as linux/amd64 or linux/arm64")
	}
}

// DefaultPlatform gives a service that names no platform that of the variable
// DOCKER_DEFAULT_PLATFORM, if it is set.
func DefaultPlatform(r tree.Reporter, s *tree.Node, path, platform string) {
	if platform == "" || tree.TextAt(s, "platform") != "" {
		return
	}
	if _, err := platforms.Parse(platform); err != nil {
		r.Fail(s, path, fmt.Sprintf("DOCKER_DEFAULT_PLATFORM is %q, which is not a platform", spec.Shorten(platform)), "set it to one such as linux/amd64")
		return
	}
	built := s.Value("build").Value("platforms")
	isSame := func(text string) bool {
		p, err := platforms.Parse(text)
		return err != nil || platforms.OnlyStrict(platforms.MustParse(platform)).Match(p)
	}
	if built != nil && len(built.Items) > 0 && !slices.ContainsFunc(tree.Texts(built), isSame) {
		r.Fail(built, path+".build.platforms", fmt.Sprintf("DOCKER_DEFAULT_PLATFORM is %q, which is not one of them", spec.Shorten(platform)), "add it there, or set platform:")
		return
	}
	s.Set(s.With("platform", s.Scalar("!!str", platform)))
}
