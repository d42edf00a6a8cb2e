package values

import (
	"fmt"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/moby/sys/signal"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// kernelNames checks what has names that the kernel gives: capabilities, signals, and
// the host's own.
func (c checker) kernelNames(s *tree.Node, path string) {
	for _, key := range []string{"cap_add", "cap_drop"} {
		for i, n := range s.Value(key).Entries() {
			c.capability(n, tree.Indexed(path+"."+key, i))
		}
	}
	if n := s.Value("stop_signal"); n != nil && n.Kind == tree.ScalarNode && n.Text != "" {
		if _, err := signal.ParseSignal(n.Text); err != nil {
			c.Fail(n, path+".stop_signal", fmt.Sprintf("no signal is called %q", spec.Shorten(n.Text)), "write it as SIGTERM, TERM or 15")
		}
	}
	if n := s.Value("hostname"); n != nil && n.Kind == tree.ScalarNode {
		c.hostname(n, path+".hostname")
	}
}

// capability checks the name of one, with or without its prefix.
func (c checker) capability(n *tree.Node, at string) {
	if n.Kind != tree.ScalarNode || n.Text == "" && len(n.Unset()) > 0 {
		return
	}
	short := strings.TrimPrefix(strings.ToUpper(n.Text), "CAP_")
	known := []string{"ALL"}
	for _, k := range capability.ListKnown() {
		known = append(known, strings.ToUpper(k.String()))
	}
	for _, k := range known {
		if short == k {
			return
		}
	}
	meant := spec.DidYouMean(short, known)
	if meant == "" {
		meant = "see capabilities(7)"
	}
	c.Fail(n, at, fmt.Sprintf("no capability is called %q", spec.Shorten(n.Text)), meant)
}

// mostOfHostname is how many bytes Linux lets a host's name have.
const mostOfHostname = 64

func (c checker) hostname(n *tree.Node, at string) {
	switch {
	case len(n.Text) > mostOfHostname:
		c.Fail(n, at, fmt.Sprintf("a host's name has at most %d bytes, this one has %d", mostOfHostname, len(n.Text)), "")
	case strings.ContainsFunc(n.Text, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }):
		c.Fail(n, at, fmt.Sprintf("%q is not the name of a host", spec.Shorten(n.Text)), "use letters, digits, dots and dashes")
	}
}
