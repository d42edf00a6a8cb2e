package values

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// maxInterface is how long the name of a link may be for the kernel (IFNAMSIZ without
// its end).
const maxInterface = 15

// linkSysctl matches a kernel's parameter of a link, as Docker takes it.
var linkSysctl = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.IFNAME\.[a-z0-9_]+$`)
})

// links checks the form of links, and that the service has names of its own.
func (c checker) links(s *tree.Node, path string) {
	for _, key := range []string{"links", "external_links"} {
		c.eachText(s, path, key, func(n *tree.Node, at string) {
			target, alias := spec.CutLink(n.Text)
			if target == "" || alias == "" || strings.ContainsAny(alias, ": \t\n/") {
				c.Fail(n, at, fmt.Sprintf("%q is not a link", spec.Shorten(n.Text)), "write it as NAME or NAME:ALIAS")
			}
		})
		if list := s.Value(key); list != nil && len(list.Items) > 0 && !hasOwnNetwork(s) {
			c.Fail(list, path+"."+key, "with network_mode: "+spec.Shorten(tree.TextAt(s, "network_mode"))+" it has no names of its own that a link could add to",
				"take network_mode or the links away")
		}
	}
}

// endpoints checks what a service says of its places on networks.
func (c checker) endpoints(s *tree.Node, path string) {
	c.mac(s, s, path)
	if n := s.Value("mac_address"); n != nil && n.Text != "" && !hasOwnNetwork(s) && tree.TextAt(s, "network_mode") != "none" {
		c.Fail(n, path+".mac_address", "its network is not its own", "take network_mode or mac_address away")
	}
	networks := s.Value("networks")
	if networks == nil || networks.Kind != tree.MapNode {
		return
	}
	called := map[string]string{}
	for _, f := range networks.Fields {
		if len(f.Value.Fields) == 0 {
			continue
		}
		at := path + ".networks." + f.Key
		c.mac(s, f.Value, at)
		c.linkLocal(f.Value, at)
		c.endpointOptions(f.Value, at+".driver_opts")
		for where, name := range map[string]*tree.Node{
			".interface_name": f.Value.Value("interface_name"), ".driver_opts." + spec.OptEndpointInterface: f.Value.Value("driver_opts").Value(spec.OptEndpointInterface),
		} {
			if name != nil && name.Kind == tree.ScalarNode && name.Text != "" {
				c.interfaceName(name, at+where)
				if other := called[name.Text]; other != "" && other != f.Key {
					c.Fail(name, at+where, fmt.Sprintf("its link to network %s is called %s too", other, name.Text), "two links cannot share a name")
				}
				called[name.Text] = f.Key
			}
		}
	}
}

// mac checks a hardware address: of one container, and of that alone.
func (c checker) mac(service, of *tree.Node, path string) {
	n := of.Value("mac_address")
	if n == nil || n.Kind != tree.ScalarNode || n.Text == "" {
		return
	}
	at := path + ".mac_address"
	const length, group = 6, 1
	mac, err := net.ParseMAC(n.Text)
	count, _ := strconv.Atoi(cmp.Or(tree.TextAt(service, "scale"), tree.TextAt(service.Value("deploy"), "replicas")))
	switch {
	case err != nil || len(mac) != length:
		c.Fail(n, at, fmt.Sprintf("%q is not a hardware address", spec.Shorten(n.Text)), "write one such as 02:42:ac:11:00:05")
	case mac[0]&group != 0 || mac.String() == "00:00:00:00:00:00":
		c.Fail(n, at, n.Text+" is not the address of one link", "its first octet is even, as in 02:42:ac:11:00:05")
	case count > 1:
		c.Fail(n, at, fmt.Sprintf("%d replicas cannot share one hardware address", count), "remove mac_address, or run one replica")
	}
}

func (c checker) linkLocal(place *tree.Node, path string) {
	c.eachText(place, path, "link_local_ips", func(n *tree.Node, at string) {
		addr, err := netip.ParseAddr(n.Text)
		switch {
		case err != nil || !addr.IsLinkLocalUnicast():
			c.Fail(n, at, fmt.Sprintf("%q is not a link-local address", spec.Shorten(n.Text)), "write one such as 169.254.8.8")
		}
	})
}

// endpointOptions checks the driver's options of one place.
func (c checker) endpointOptions(place *tree.Node, at string) {
	options := place.Value("driver_opts")
	if options == nil || options.Kind != tree.MapNode {
		return
	}
	for _, f := range options.Fields {
		key := &tree.Node{At: f.At, Width: f.Width}
		switch f.Key {
		case spec.OptEndpointInterface:
		case spec.OptEndpointSysctls:
			for _, text := range spec.EndpointSysctls(f.Value.Text) {
				name, value, _ := strings.Cut(text, "=")
				if !linkSysctl().MatchString(name) || value == "" || strings.ContainsAny(value, "\n") {
					c.Fail(f.Value, at+"."+f.Key, fmt.Sprintf("%q sets no parameter of a link", spec.Shorten(text)), "write it as net.ipv4.conf.IFNAME.log_martians=1")
				}
			}
		default:
			known := []string{spec.OptEndpointSysctls, spec.OptEndpointInterface}
			c.Fail(key, at, fmt.Sprintf("%q is no option of a bridge's links", spec.Shorten(f.Key)), spec.DidYouMean(f.Key, known))
		}
	}
}

// interfaceName checks the name of a link.
func (c checker) interfaceName(n *tree.Node, at string) {
	if why := BadInterface(n.Text); why != "" {
		c.Fail(n, at, fmt.Sprintf("%q is not the name of a link: %s", spec.Shorten(n.Text), why), "write one such as lan0")
	}
}

// BadInterface says why the kernel would not call a link so; "" if it would.
func BadInterface(name string) string {
	switch {
	case len(name) > maxInterface:
		return fmt.Sprintf("it has more than %d characters", maxInterface)
	case name == "lo" || name == "all" || name == "default" || name == "." || name == "..":
		return "it means another"
	case strings.ContainsAny(name, "/:. \t\r\n%"):
		return "it holds a character that none may have"
	}
	return ""
}
