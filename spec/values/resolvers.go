package values

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// ownNameServer is that of each container, which asks its resolvers.
const ownNameServer = "127.0.0.11"

// domain matches the name of a domain.
var domain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)
})

// maxDomain is how long a name may be for the kernel (__NEW_UTS_LEN).
const maxDomain = 64

// resolvers checks what a service says of how its names are looked up.
func (c checker) resolvers(s *tree.Node, path string) {
	c.eachText(s, path, "dns", func(n *tree.Node, at string) {
		addr, err := netip.ParseAddr(n.Text)
		switch {
		case err != nil:
			c.Fail(n, at, fmt.Sprintf("%q is not an IP address", spec.Shorten(n.Text)), "a resolver is named by its address, such as 9.9.9.9")
		case addr.Unmap().String() == ownNameServer && hasOwnNetwork(s):
			c.Fail(n, at, ownNameServer+" is the container's own name server, which would ask itself", "remove it: programs ask there anyway")
		}
	})
	c.eachText(s, path, "dns_search", func(n *tree.Node, at string) {
		if n.Text != "." && !domain().MatchString(n.Text) {
			c.Fail(n, at, fmt.Sprintf("%q is not the name of a domain", spec.Shorten(n.Text)), "write one such as example.com")
		}
	})
	c.eachText(s, path, "dns_opt", func(n *tree.Node, at string) {
		if strings.ContainsAny(n.Text, " \t\r\n") {
			c.Fail(n, at, fmt.Sprintf("%q is not an option of a resolver", spec.Shorten(n.Text)), "write one an entry, such as timeout:3")
		}
	})
	if n := s.Value("domainname"); n != nil && n.Kind == tree.ScalarNode && n.Text != "" && (len(n.Text) > maxDomain || !domain().MatchString(n.Text)) {
		c.Fail(n, path+".domainname", fmt.Sprintf("%q is not the name of a domain", spec.Shorten(n.Text)), fmt.Sprintf("write one such as example.com, of %d characters at most", maxDomain))
	}
	if dns := s.Value("dns"); dns != nil && len(dns.Items) > 0 && sharesNetwork(s) {
		c.Fail(dns, path+".dns", "its network is that of another container, whose resolvers are asked", "write dns at that service")
	}
}

// eachText calls f for each text of a list, which may be a single one.
func (c checker) eachText(s *tree.Node, path, key string, f func(n *tree.Node, at string)) {
	list := s.Value(key)
	if list == nil {
		return
	}
	for i, item := range list.Items {
		if item.Kind == tree.ScalarNode && item.Text != "" { // what is empty says nothing
			f(item, tree.Indexed(path+"."+key, i))
		}
	}
}

// sharesNetwork says that a service is on the network of another container.
func sharesNetwork(s *tree.Node) bool {
	mode, _, named := strings.Cut(tree.TextAt(s, "network_mode"), ":")
	return named && (mode == "service" || mode == "container")
}

// DefaultNetwork has a service that names no network be on the stack's default one: that too whose network_mode is bridge, which
// is to Docker the network of all containers that name none.
func DefaultNetwork(s *tree.Node) {
	networks := s.Value("networks")
	if s.Value("provider") != nil || networks != nil && (networks.Kind != tree.MapNode || len(networks.Fields) > 0) {
		return
	}
	switch tree.TextAt(s, "network_mode") {
	case "bridge":
		s.Remove("network_mode")
	case "":
	default:
		return
	}
	s.Set(s.With("networks", s.Mapping(s.With("default", &tree.Node{}))))
}

// hasOwnNetwork says that a service has a name server of its own.
func hasOwnNetwork(s *tree.Node) bool {
	mode := tree.TextAt(s, "network_mode")
	return mode == "" || mode == "bridge"
}
