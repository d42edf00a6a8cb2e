package forms

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// MaxPorts is how many ports one service may publish.
const MaxPorts = 4096

// portRange is "from-to"; one port is a range of its own.
type portRange struct{ from, to int }

func (r portRange) size() int { return r.to - r.from + 1 }

func (r portRange) String() string {
	if r.from == r.to {
		return strconv.Itoa(r.from)
	}
	return fmt.Sprintf("%d-%d", r.from, r.to)
}

func parseRange(s string) (portRange, bool) {
	low, high, ok := strings.Cut(s, "-")
	from, err := strconv.ParseUint(low, 10, 16)
	if !ok {
		return portRange{int(from), int(from)}, err == nil
	}
	to, err2 := strconv.ParseUint(high, 10, 16)
	return portRange{int(from), int(to)}, err == nil && err2 == nil && from <= to
}

// shortPort is a port's short form: [address:][published:]target[/protocol].
type shortPort struct {
	ip        string
	published *portRange
	target    portRange
	protocol  string
}

// parsePort reads a port's short form; what is wrong with it comes back as
// text. Parts that are empty, as by a variable without a value, are not given.
func parsePort(s string) (p shortPort, problem string) {
	rest, protocol, _ := strings.Cut(s, "/")
	p.protocol = cmp.Or(strings.ToLower(protocol), spec.ProtocolTCP)
	if !slices.Contains(spec.Protocols(), p.protocol) {
		return p, fmt.Sprintf("protocol %q is not one of %s", protocol, strings.Join(spec.Protocols(), ", "))
	}
	ok := false
	target := rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host := rest[:i]
		target = rest[i+1:]
		if problem := p.host(host); problem != "" {
			return p, problem
		}
	}
	if p.target, ok = parseRange(target); !ok || p.target.from == 0 {
		return p, fmt.Sprintf("%q is not a port", target)
	}
	if p.published != nil && p.target.size() > 1 && p.published.size() != p.target.size() {
		return p, fmt.Sprintf("the ranges %s and %s differ in length", p.published, p.target)
	}
	return p, ""
}

// host reads the part before the target: "published" or "address:published".
func (p *shortPort) host(s string) string {
	published := s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		p.ip, published = s[:i], s[i+1:]
		if strings.HasPrefix(p.ip, "[") && strings.HasSuffix(p.ip, "]") {
			p.ip = p.ip[1 : len(p.ip)-1]
		}
		if _, err := netip.ParseAddr(p.ip); err != nil && p.ip != "" {
			return fmt.Sprintf("%q is not an IP address", p.ip)
		}
	}
	if published == "" {
		return ""
	}
	r, ok := parseRange(published)
	if !ok {
		return fmt.Sprintf("%q is not a port", published)
	}
	p.published = &r
	return ""
}

// ports brings a list of ports into long form, one entry a target port.
func (c *Conformer) ports(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind != tree.ListNode {
		return c.expected(n, path, "a list")
	}
	items, count := n.Items, 0
	n.Items = make([]*tree.Node, 0, len(items))
	for i, item := range items {
		if item.Kind == tree.BadNode || c.isUnfilled(item) || slices.ContainsFunc(item.Fields, func(f tree.Field) bool { return c.isUnfilled(f.Value) }) {
			n.Items = append(n.Items, item)
			continue
		}
		if count > MaxPorts {
			continue
		}
		made := c.port(item, k.Keys, tree.Indexed(path, i), MaxPorts-count)
		if made == nil {
			count = MaxPorts + 1
			c.fail(n, tree.Indexed(path, i), fmt.Sprintf("a service may publish at most %d ports", MaxPorts), "")
			continue
		}
		count += len(made)
		n.Items = append(n.Items, made...)
	}
	return n
}

// port is the long form of one entry; nil when there is no room for it.
func (c *Conformer) port(item *tree.Node, keys []schema.Key, path string, room int) []*tree.Node {
	if item.Kind == tree.MapNode {
		if room < 1 {
			return nil
		}
		made := c.longPort(item, keys, path)
		return []*tree.Node{made}
	}
	if item.Kind != tree.ScalarNode || item.Tag == "!!bool" {
		return []*tree.Node{c.expected(item, path, "a port such as \"8080:80\" or a mapping")}
	}
	p, problem := parsePort(item.Text)
	if problem != "" {
		return []*tree.Node{c.fail(item, path, fmt.Sprintf("bad port %q: %s", spec.Shorten(item.Text), problem),
			"write it as [ADDRESS:][PUBLISHED:]TARGET[/PROTOCOL]")}
	}
	if p.target.size() > room {
		return nil
	}
	var out []*tree.Node
	for target := p.target.from; target <= p.target.to; target++ {
		published := ""
		if p.published != nil {
			published = p.published.String()
			if p.target.size() > 1 {
				published = strconv.Itoa(p.published.from + target - p.target.from)
			}
		}
		out = append(out, c.portNode(item, p.ip, published, target, p.protocol))
	}
	out[0].SetUnset(item.Unset())
	return out
}

func (c *Conformer) portNode(at *tree.Node, ip, published string, target int, protocol string) *tree.Node {
	made := c.node(at, tree.MapNode)
	made.Fields = c.fields(3 + min(1, len(ip)) + min(1, len(published)))
	add := func(key, tag, text string) { made.Fields = append(made.Fields, at.With(key, c.text(at, tag, text))) }
	add("mode", "!!str", "ingress")
	if ip != "" {
		add("host_ip", "!!str", ip)
	}
	add("target", "!!int", strconv.Itoa(target))
	if published != "" {
		add("published", "!!str", published)
	}
	add("protocol", "!!str", protocol)
	return made
}

// longPort checks the long form and fills its defaults in.
func (c *Conformer) longPort(n *tree.Node, keys []schema.Key, path string) *tree.Node {
	out := c.Object(withoutEmpty(n, "host_ip", "published", "protocol", "mode"), keys, path)
	if out.Kind == tree.BadNode {
		return out
	}
	target := out.Value("target")
	if target == nil {
		return c.fail(n, path, "a port needs a target", "write target: and the port in the container")
	}
	if target.Kind == tree.ScalarNode {
		if p, err := strconv.Atoi(target.Text); err != nil || p < 1 || p > 65535 {
			return c.fail(target, path+".target", target.Text+" is not a port", "a port is 1 to 65535")
		}
	}
	if p := out.Value("published"); p != nil && p.Kind == tree.ScalarNode && p.Text != "" {
		if _, ok := parseRange(p.Text); !ok {
			return c.fail(p, path+".published", fmt.Sprintf("%q is not a port", p.Text), "write a port or a range FROM-TO")
		}
	}
	if ip := out.Value("host_ip"); ip != nil && ip.Kind == tree.ScalarNode && ip.Text != "" {
		if _, err := netip.ParseAddr(ip.Text); err != nil {
			return c.fail(ip, path+".host_ip", fmt.Sprintf("%q is not an IP address", ip.Text), "")
		}
	}
	if out.Value("mode") == nil {
		out.Set(n.With("mode", n.Scalar("!!str", "ingress")))
	}
	if out.Value("protocol") == nil {
		out.Set(n.With("protocol", n.Scalar("!!str", "tcp")))
	}
	return out
}

// expose checks a port without a host side.
func (c *Conformer) expose(item *tree.Node, path string) *tree.Node {
	if item.Kind != tree.ScalarNode || item.Tag == "!!bool" {
		return c.expected(item, path, "a port such as \"3000\" or \"5000-5010/tcp\"")
	}
	if item.Text == "" {
		return item // not given; it goes when its variables were told
	}
	port, protocol, _ := strings.Cut(item.Text, "/")
	r, ok := parseRange(port)
	if !ok || r.from == 0 || protocol != "" && !slices.Contains(spec.Protocols(), protocol) {
		return c.fail(item, path, fmt.Sprintf("bad port %q", spec.Shorten(item.Text)), "write it as PORT[/PROTOCOL]")
	}
	made := item.Scalar("!!str", strings.TrimSuffix(item.Text, "/"))
	made.SetUnset(item.Unset())
	return made
}
