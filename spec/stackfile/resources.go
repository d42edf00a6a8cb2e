package stackfile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// dependencies checks depends_on: the services exist and are active, and
// none waits for itself. An optional dependency on a service that is not
// active is dropped.
func (v *validator) dependencies() {
	for _, f := range v.services.fields {
		deps := f.value.value("depends_on")
		if deps == nil || deps.kind != mapNode {
			continue
		}
		path := "services." + f.key + ".depends_on"
		deps.fields = slices.DeleteFunc(slices.Clone(deps.fields), func(d field) bool { return !v.dependency(d, path) })
	}
	v.cycles()
}

// dependency checks one entry of depends_on and says whether it stays.
func (v *validator) dependency(d field, path string) bool {
	if v.services.value(d.key) != nil || d.value.kind == badNode {
		return true
	}
	at := &node{at: d.at, width: d.width}
	if off := v.disabled[d.key]; off != nil {
		if textAt(d.value, "required") == "false" {
			return false
		}
		profiles := profilesOf(off)
		if len(profiles) == 0 {
			v.l.fail(at, path, fmt.Sprintf("service %q is active only without --profile", d.key), "write required: false")
			return false
		}
		v.l.fail(at, path, fmt.Sprintf("service %q is not active: it has the profile %s", d.key, strings.Join(profiles, " or ")),
			fmt.Sprintf("activate it with --profile %s, or write required: false", profiles[0]))
		return false
	}
	if !v.incomplete {
		v.l.fail(at, path, fmt.Sprintf("no service named %q", d.key), spec.DidYouMean(d.key, fieldNames(v.services)))
	}
	return false
}

// edge is one service waiting for another, and where the file says so.
type edge struct {
	to        string
	at        *node
	isContext bool // it is built from the other's image
}

// waits are the services that one waits for: to start, or to be built.
func (v *validator) waits(s *node) []edge {
	var out []edge
	if deps := s.value("depends_on"); deps != nil {
		for _, d := range withoutBad(deps.fields) {
			out = append(out, edge{to: d.key, at: &node{at: d.at, width: d.width}})
		}
	}
	if contexts := s.value("build").value("additional_contexts"); contexts != nil {
		for _, c := range contexts.fields {
			if name, ok := strings.CutPrefix(c.value.text, "service:"); ok {
				out = append(out, edge{name, c.value, true})
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
				v.l.fail(e.at, "services."+name+".depends_on", "services wait for each other in a circle: "+strings.Join(circle, " -> "),
					"remove one of these dependencies")
			case state[e.to] == 0 && (v.services.value(e.to) != nil || e.isContext && v.bases[e.to]):
				visit(e.to)
			}
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	for _, f := range v.services.fields {
		if state[f.key] == 0 {
			visit(f.key)
		}
	}
}

// resources checks the networks, volumes, secrets and configs themselves.
func (v *validator) resources() {
	used := v.used()
	for _, section := range []string{"networks", "volumes", "secrets", "configs"} {
		s := v.tree.value(section)
		if s == nil || s.kind != mapNode {
			continue
		}
		for _, f := range s.fields {
			if f.value.kind != mapNode {
				continue
			}
			path := section + "." + f.key
			v.externalAlone(f, section, path)
			if used[section][f.key] {
				v.refusedKeys(f, schema.Find(schema.Root(), section).Keys, path)
			}
			switch section {
			case "networks":
				v.pools(f.value, path)
				v.bridgeOptions(f.value, used[section][f.key], path)
			case "secrets", "configs":
				v.oneSource(f, path)
			}
		}
	}
}

// externalAlone complains of keys that mean nothing for what exists already.
func (v *validator) externalAlone(f field, section, path string) {
	if textAt(f.value, "external") != "true" {
		return
	}
	for _, other := range f.value.fields {
		if other.key == "name" || other.key == "external" || strings.HasPrefix(other.key, "x-") || other.value.isEmpty() {
			continue
		}
		if k := schema.Find(schema.Find(schema.Root(), section).Keys, other.key); section != "volumes" && k != nil && k.Level == schema.Refused {
			continue // how it is made elsewhere may be said
		}
		v.l.fail(&node{at: other.at, width: other.width}, path, fmt.Sprintf("%q and external exclude each other", other.key),
			"what is external is made elsewhere; remove the key")
	}
}

// oneSource checks that a secret or config has one source.
func (v *validator) oneSource(f field, path string) {
	if textAt(f.value, "external") == "true" {
		return
	}
	var given []field
	for _, other := range f.value.fields {
		if slices.Contains([]string{"file", "environment", "content"}, other.key) {
			given = append(given, other)
		}
	}
	switch {
	case len(given) == 0:
		v.l.fail(&node{at: f.at, width: f.width}, path, "no content is given", "write file:, environment: or content:")
	case len(given) > 1:
		second := given[1]
		v.l.fail(&node{at: second.at, width: second.width}, path,
			fmt.Sprintf("%s and %s exclude each other", given[0].key, second.key), "keep one of them")
	}
}

// pools checks the addresses of a network: its gateway and the range that it
// hands addresses out of are parts of its subnet.
func (v *validator) pools(network *node, path string) {
	config := network.value("ipam").value("config")
	if config == nil || config.kind != listNode {
		return
	}
	for i, pool := range config.items {
		at := indexed(path+".ipam.config", i)
		subnet, ok := v.prefix(pool.value("subnet"), at+".subnet")
		if n := pool.value("ip_range"); n != nil {
			within, isRange := v.prefix(n, at+".ip_range")
			inside := !ok || subnet.Contains(within.Addr()) && within.Bits() >= subnet.Bits()
			if isRange {
				v.inSubnet(n, at+".ip_range", within, pool, inside)
			}
		}
		gateway := pool.value("gateway")
		if gateway == nil || gateway.kind != scalarNode {
			continue
		}
		ip, err := netip.ParseAddr(gateway.text)
		if err != nil {
			v.l.fail(gateway, at+".gateway", fmt.Sprintf("%q is not an IP address", spec.Shorten(gateway.text)), "")
			continue
		}
		v.inSubnet(gateway, at+".gateway", ip, pool, !ok || subnet.Contains(ip))
	}
}

// inSubnet complains of addresses that are not inside the subnet of their
// pool, or have none to be inside of.
func (v *validator) inSubnet(n *node, path string, addresses fmt.Stringer, pool *node, inside bool) {
	subnet := pool.value("subnet")
	switch {
	case subnet == nil:
		v.l.fail(n, path, fmt.Sprintf("%s has no subnet that it is a part of", addresses), "write subnet: beside it")
	case !inside:
		v.l.fail(n, path, fmt.Sprintf("%s is not in the subnet %s", addresses, subnet.text), "")
	}
}

func (v *validator) prefix(n *node, path string) (netip.Prefix, bool) {
	if n == nil || n.kind != scalarNode {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(n.text)
	if err != nil {
		v.l.fail(n, path, fmt.Sprintf("%q is not a range of addresses", spec.Shorten(n.text)), "write it as 10.5.0.0/16")
	}
	return p, err == nil
}

// pullPolicy checks when the image of a service is pulled.
func (v *validator) pullPolicy(s *node, path string) {
	policy := s.value("pull_policy")
	if policy == nil || policy.kind != scalarNode || policy.text == "" && len(policy.unset) > 0 {
		return
	}
	for _, word := range spec.PullPolicies() {
		if policy.text == word {
			return
		}
	}
	if _, ok := spec.RefreshAfter(policy.text); ok {
		return
	}
	v.l.fail(policy, path+".pull_policy", fmt.Sprintf("%q is not one of %s, every_TIME", spec.Shorten(policy.text), strings.Join(spec.PullPolicies(), ", ")),
		cmp.Or(spec.DidYouMean(policy.text, spec.PullPolicies()), "write a time as in every_2d or every_12h"))
}
