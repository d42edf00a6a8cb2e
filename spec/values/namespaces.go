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
	c.namespace(s.Value("pid"), path+".pid", "host")
	c.namespace(s.Value("ipc"), path+".ipc", "host", "private", "shareable", "none")
	if s.Value("uts") == nil {
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
	if n == nil || n.Kind != tree.ScalarNode || n.Text == "" || slices.Contains(words, n.Text) {
		return
	}
	kind, _, of := strings.Cut(n.Text, ":")
	if of && kind == "service" {
		return // which is for who knows the others
	}
	if of && kind == "container" {
		about := spec.Topic{Subject: at, Text: kind + ":NAME is not supported yet"}
		c.NotYet(n, at, about, fmt.Sprintf("%q is not supported yet", spec.Shorten(n.Text)), "the container has its own")
		return
	}
	c.Fail(n, at, fmt.Sprintf("%q is not one of %s", spec.Shorten(n.Text), strings.Join(words, ", ")), spec.DidYouMean(n.Text, words))
}
