package values

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// namespaces checks what a service shares with the host or with others.
func (c checker) namespaces(s *tree.Node, path string) {
	if n := s.Value("pid"); n != nil {
		c.namespace(n, path+".pid", "host")
	}
	if n := s.Value("ipc"); n != nil {
		c.namespace(n, path+".ipc", "host", "private", "shareable", "none")
	}
	if tree.TextAt(s, "uts") != spec.HostNamespace {
		return
	}
	for _, key := range []string{"hostname", "domainname"} {
		if n := s.Value(key); n != nil {
			c.Fail(n, path+"."+key, key+" and uts: host exclude each other", "the service has the host's name: keep one of them")
		}
	}
	if n := s.Value("sysctls").Value("kernel.domainname"); n != nil {
		c.Fail(n, path+".sysctls.kernel.domainname", "it is the host's, whose name the service has", "")
	}
}

func (c checker) namespace(n *tree.Node, at string, words ...string) {
	if n.Kind != tree.ScalarNode || n.Text == "" || slices.Contains(words, n.Text) {
		return
	}
	kind, name, _ := strings.Cut(n.Text, ":")
	if name != "" && (kind == "service" || kind == "container") {
		return // whether that is there is for who knows the others
	}
	c.Fail(n, at, fmt.Sprintf("%q is not one of %s", spec.Shorten(n.Text), strings.Join(append(words, "service:NAME", "container:NAME"), ", ")), spec.DidYouMean(n.Text, words))
}
