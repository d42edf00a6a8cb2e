package stackfile

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/values"
)

// dependencies checks depends_on: the services exist and are active, and
// none waits for itself. An optional dependency on a service that is not
// active is dropped.
func (v *validator) dependencies() {
	for _, f := range v.services.Fields {
		deps := f.Value.Value("depends_on")
		if deps == nil || deps.Kind != tree.MapNode {
			continue
		}
		if !slices.ContainsFunc(deps.Fields, func(d tree.Field) bool { return v.active(d.Key) == nil }) {
			continue
		}
		path := v.path(f.Key) + ".depends_on"
		deps.Fields = slices.DeleteFunc(slices.Clone(deps.Fields), func(d tree.Field) bool { return !v.dependency(d, path) })
	}
	v.cycles()
}

// dependency checks one entry of depends_on and says whether it stays.
func (v *validator) dependency(d tree.Field, path string) bool {
	if v.active(d.Key) != nil || d.Value.Kind == tree.BadNode {
		return true
	}
	at := &tree.Node{At: d.At, Width: d.Width}
	if v.jobs[d.Key] {
		v.l.Fail(at, path, fmt.Sprintf("%q is a job: services depend on services alone", d.Key),
			"make it a service that is run once, and write condition: "+spec.ServiceCompleted)
		return false
	}
	if off := v.disabled[d.Key]; off != nil {
		if tree.TextAt(d.Value, "required") == "false" {
			return false
		}
		profiles := profilesOf(off)
		if len(profiles) == 0 {
			v.l.Fail(at, path, fmt.Sprintf("service %q is active only without --profile", d.Key), "write required: false")
			return false
		}
		v.l.Fail(at, path, fmt.Sprintf("service %q is not active: it has the profile %s", d.Key, strings.Join(profiles, " or ")),
			fmt.Sprintf("activate it with --profile %s, or write required: false", profiles[0]))
		return false
	}
	if !v.incomplete {
		v.l.Fail(at, path, fmt.Sprintf("no service named %q", d.Key), spec.DidYouMean(d.Key, fieldNames(v.services)))
	}
	return false
}

// edge is one service waiting for another, and where the file says so.
type edge struct {
	to        string
	at        spec.Place
	width     int
	isContext bool // it is built from the other's image
}

// waits are the services that one waits for: to start, or to be built.
func (v *validator) waits(s *tree.Node) []edge {
	var out []edge
	if deps := s.Value("depends_on"); deps != nil {
		out = make([]edge, 0, len(deps.Fields))
		for _, d := range deps.Fields {
			if d.Value.Kind != tree.BadNode {
				out = append(out, edge{to: d.Key, at: d.At, width: d.Width})
			}
		}
	}
	if contexts := s.Value("build").Value("additional_contexts"); contexts != nil {
		for _, c := range contexts.Fields {
			if name, ok := strings.CutPrefix(c.Value.Text, "service:"); ok {
				out = append(out, edge{name, c.Value.At, c.Value.Width, true})
			}
		}
	}
	return out
}

// cycles reports each circle of dependencies once, as a path.
func (v *validator) cycles() {
	const visiting, done = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = visiting
		path = append(path, name)
		for _, e := range v.waits(v.find(name)) {
			switch {
			case state[e.to] == visiting:
				circle := append(slices.Clone(path[slices.Index(path, e.to):]), e.to)
				v.l.Fail(&tree.Node{At: e.at, Width: e.width}, v.path(name)+".depends_on", "services wait for each other in a circle: "+strings.Join(circle, " -> "),
					"remove one of these dependencies")
			case state[e.to] == 0 && (v.active(e.to) != nil || e.isContext && v.bases[e.to]):
				visit(e.to)
			}
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	for _, f := range v.services.Fields {
		if state[f.Key] == 0 {
			visit(f.Key)
		}
	}
}

// resources checks the networks, volumes, secrets and configs themselves.
func (v *validator) resources() {
	v.useElsewhere()
	for _, section := range []string{"networks", "volumes", "secrets", "configs"} {
		s := v.root.Value(section)
		if s == nil || s.Kind != tree.MapNode {
			continue
		}
		for _, f := range s.Fields {
			if v.l.opts.AllResources {
				v.use(section, f.Key, section == "networks" || section == "volumes")
			}
			if f.Value.Kind != tree.MapNode {
				continue
			}
			path := section + "." + f.Key
			v.externalAlone(f, section, path)
			if v.used[section][f.Key] {
				v.refusedKeys(f, schema.Find(schema.Root(), section).Keys, path)
				v.templateDriver(f.Value, path)
			}
			switch section {
			case "networks":
				v.pools(f.Value, path)
				if v.used[section][f.Key] {
					values.CheckNetwork(v.l.Reporter, f.Value, path)
				}
			case "volumes":
				if v.used[section][f.Key] {
					v.volumeOptions(f.Value, path)
				}
			case "secrets", "configs":
				v.oneSource(f, path)
			}
		}
	}
}

// externalAlone complains of keys that mean nothing for what exists already.
func (v *validator) externalAlone(f tree.Field, section, path string) {
	if tree.TextAt(f.Value, "external") != "true" {
		return
	}
	for _, other := range f.Value.Fields {
		if other.Key == "name" || other.Key == "external" || other.Key == "template_driver" || strings.HasPrefix(other.Key, "x-") || other.Value.IsEmpty() {
			continue
		}
		if k := schema.Find(schema.Find(schema.Root(), section).Keys, other.Key); section != "volumes" && k != nil && k.Level == schema.Refused {
			continue // how it is made elsewhere may be said
		}
		v.l.Fail(&tree.Node{At: other.At, Width: other.Width}, path, fmt.Sprintf("%q and external exclude each other", other.Key),
			"what is external is made elsewhere; remove the key")
	}
}

// oneSource checks that a secret or config has one source.
func (v *validator) oneSource(f tree.Field, path string) {
	if tree.TextAt(f.Value, "external") == "true" {
		return
	}
	var given []tree.Field
	for _, other := range f.Value.Fields {
		if slices.Contains([]string{"file", "environment", "content"}, other.Key) {
			given = append(given, other)
		}
	}
	switch {
	case len(given) == 0:
		v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, path, "no content is given", "write file:, environment: or content:")
	case len(given) > 1:
		second := given[1]
		v.l.Fail(&tree.Node{At: second.At, Width: second.Width}, path,
			fmt.Sprintf("%s and %s exclude each other", given[0].Key, second.Key), "keep one of them")
	}
}

// pools checks the addresses of a network: its gateway and the range that it
// hands addresses out of are parts of its subnet.
func (v *validator) pools(network *tree.Node, path string) {
	config := network.Value("ipam").Value("config")
	if config == nil || config.Kind != tree.ListNode {
		return
	}
	for i, pool := range config.Items {
		at := tree.Indexed(path+".ipam.config", i)
		subnet, ok := v.prefix(pool.Value("subnet"), at+".subnet")
		if n := pool.Value("ip_range"); n != nil {
			within, isRange := v.prefix(n, at+".ip_range")
			inside := !ok || subnet.Contains(within.Addr()) && within.Bits() >= subnet.Bits()
			if isRange {
				v.inSubnet(n, at+".ip_range", within, pool, inside)
			}
		}
		v.auxAddresses(pool, at, subnet, ok)
		gateway := pool.Value("gateway")
		if gateway == nil || gateway.Kind != tree.ScalarNode {
			continue
		}
		ip, err := netip.ParseAddr(gateway.Text)
		if err != nil {
			v.l.Fail(gateway, at+".gateway", fmt.Sprintf("%q is not an IP address", spec.Shorten(gateway.Text)), "")
			continue
		}
		v.inSubnet(gateway, at+".gateway", ip, pool, !ok || subnet.Contains(ip))
	}
}

// auxAddresses checks the addresses that no container is to have.
func (v *validator) auxAddresses(pool *tree.Node, at string, subnet netip.Prefix, known bool) {
	aux := pool.Value("aux_addresses")
	if aux == nil || aux.Kind != tree.MapNode {
		return
	}
	for _, f := range aux.Fields {
		where := at + ".aux_addresses." + f.Key
		ip, err := netip.ParseAddr(f.Value.Text)
		if err != nil {
			v.l.Fail(f.Value, where, fmt.Sprintf("%q is not an IP address", spec.Shorten(f.Value.Text)), "")
			continue
		}
		v.inSubnet(f.Value, where, ip, pool, !known || subnet.Contains(ip))
	}
}

// inSubnet complains of addresses that are not inside the subnet of their
// pool, or have none to be inside of.
func (v *validator) inSubnet(n *tree.Node, path string, addresses fmt.Stringer, pool *tree.Node, inside bool) {
	subnet := pool.Value("subnet")
	switch {
	case subnet == nil:
		v.l.Fail(n, path, fmt.Sprintf("%s has no subnet that it is a part of", addresses), "write subnet: beside it")
	case !inside:
		v.l.Fail(n, path, fmt.Sprintf("%s is not in the subnet %s", addresses, subnet.Text), "")
	}
}

func (v *validator) prefix(n *tree.Node, path string) (netip.Prefix, bool) {
	if n == nil || n.Kind != tree.ScalarNode {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(n.Text)
	if err != nil {
		v.l.Fail(n, path, fmt.Sprintf("%q is not a range of addresses", spec.Shorten(n.Text)), "write it as 10.5.0.0/16")
	}
	return p, err == nil
}
