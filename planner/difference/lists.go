package difference

import (
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// unordered lists the service keys whose lists are sets: their order means
// nothing, and a change is told by element.
var unordered = []string{
	"ports", "volumes", "secrets", "configs", "expose", "extra_hosts", "cap_add", "cap_drop", "tmpfs", "profiles",
}

// element is one entry of such a list.
type element struct {
	json  string // what it is
	short string // how a user writes it
	kin   string // what one entry has in common with the one that it replaces
	index int
}

// Lists reports the elements that came, went or changed.
func Lists(path, key string, old, want []any, places spec.Places) []Reason {
	was, now := elements(key, old), elements(key, want)
	gone, come := without(was, now), without(now, was)
	var rs []Reason
	for _, e := range gone {
		r := Reason{Path: path, From: Text(e.short), Place: places.Nearest(path)}
		if i := slices.IndexFunc(come, func(n element) bool { return n.kin != "" && n.kin == e.kin }); i >= 0 {
			rs = append(rs, changed(path, e, come[i], places))
			come = slices.Delete(come, i, i+1)
			continue
		}
		rs = append(rs, r)
	}
	for _, e := range come {
		at := indexed(path, e.index)
		rs = append(rs, Reason{Path: path, To: Text(e.short), Place: places.Nearest(at)})
	}
	return rs
}

// changed is an element that another one takes the place of; where the short
// forms are the same, the long ones tell the difference.
func changed(path string, old, want element, places spec.Places) Reason {
	r := Reason{Path: path, From: Text(old.short), To: Text(want.short), Place: places.Nearest(indexed(path, want.index))}
	if r.From == r.To {
		r.From, r.To = old.json, want.json
	}
	return r
}

func indexed(path string, i int) string { return path + "[" + Text(i) + "]" }

// without gives the elements of list that are not in other, each as often as
// it is there more.
func without(list, other []element) []element {
	count := map[string]int{}
	for _, e := range other {
		count[e.json]++
	}
	var rest []element
	for _, e := range list {
		if count[e.json]--; count[e.json] < 0 {
			rest = append(rest, e)
		}
	}
	return rest
}

func elements(key string, list []any) []element {
	out := make([]element, 0, len(list))
	for i, v := range list {
		e := element{json: Text(v), index: i}
		m, _ := v.(map[string]any)
		field := func(name string) string {
			if m[name] == nil {
				return ""
			}
			return strings.Trim(Text(m[name]), `"`)
		}
		switch {
		case m == nil:
			e.short, _ = v.(string)
		case key == "ports":
			e.json = Text(withoutNotes(m))
			e.short, e.kin = shortPort(field), field("target")+"/"+field("protocol")
		default:
			e.short, e.kin = shortMount(field), field("target")
			if e.kin == "" {
				e.kin = field("source")
			}
		}
		out = append(out, e)
	}
	return out
}

// withoutNotes is a port without what says nothing of how it is published.
func withoutNotes(port map[string]any) map[string]any {
	made := maps.Clone(port)
	for _, note := range []string{"name", "mode", "app_protocol"} {
		delete(made, note)
	}
	return made
}

// shortPort is a port in the short form of the stack file.
func shortPort(field func(string) string) string {
	s := field("target")
	if p := field("published"); p != "" {
		s = p + ":" + s
	}
	if ip := field("host_ip"); ip != "" {
		if strings.Contains(ip, ":") {
			ip = "[" + ip + "]"
		}
		s = ip + ":" + s
	}
	if proto := field("protocol"); proto != "" && proto != "tcp" {
		s += "/" + proto
	}
	return s
}

// shortMount is a mount, or the use of a secret or config, in the short form.
func shortMount(field func(string) string) string {
	source, target := field("source"), field("target")
	if field("type") == spec.MountTmpfs {
		source = spec.MountTmpfs
	}
	if source == "" || target == "" {
		return source + target
	}
	s := source + ":" + target
	if field("read_only") == "true" {
		s += ":ro"
	}
	return s
}
