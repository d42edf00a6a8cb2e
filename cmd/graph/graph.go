// Package graph draws what a stack consists of and what depends on what: as text, and in the languages
// of Graphviz, Mermaid and SVG. It knows the project alone, nothing of what runs.
package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/orlop/orlop/spec"
)

// Kinds of a Node.
const (
	Service = "service"
	Job     = "job"
	Network = "network"
	Volume  = "volume"
	Secret  = "secret"
	Config  = "config"
)

// kinds are in the order in which they are shown.
var kinds = [...]string{Service, Job, Network, Volume, Secret, Config}

// Node is a part of the stack.
type Node struct {
	Kind, Name string
	Note       string // "external", "2 replicas"; "" where there is nothing to say
}

// ID is unique in the graph.
func (n Node) ID() string { return n.Kind + " " + n.Name }

// Edge says that one node needs another.
type Edge struct {
	From, To string // IDs
	Label    string // "healthy", "/data, read-only"
}

// Graph is what a stack consists of. Nodes and edges have a fixed order.
type Graph struct {
	Name  string
	Nodes []Node
	Edges []Edge
}

// Of is the graph of a project, of some services and what they need, or of all where none are named.
// Without resources it has services and jobs alone.
func Of(p *spec.Project, services []string, resources bool) *Graph {
	b := &builder{project: p, resources: resources, nodes: map[string]Node{}, edges: map[[2]string][]string{}}
	if len(services) == 0 {
		services = slices.Collect(maps.Keys(p.Services))
		for name := range p.Jobs {
			b.service(name, p.Jobs[name], Job)
		}
		if resources {
			b.rest()
		}
	}
	for _, name := range services {
		if s := p.Services[name]; s != nil {
			b.service(name, s, Service)
		} else if s := p.Jobs[name]; s != nil {
			b.service(name, s, Job)
		}
	}
	return b.graph()
}

type builder struct {
	project   *spec.Project
	resources bool
	nodes     map[string]Node
	edges     map[[2]string][]string
}

func (b *builder) add(n Node) (isNew bool) {
	_, known := b.nodes[n.ID()]
	if !known {
		b.nodes[n.ID()] = n
	}
	return !known
}

func (b *builder) link(from, to Node, label string) {
	key := [2]string{from.ID(), to.ID()}
	if label == "" || !slices.Contains(b.edges[key], label) {
		b.edges[key] = append(b.edges[key], label)
	}
}

// service adds a service and, through what it needs, all below it.
func (b *builder) service(name string, s *spec.Service, kind string) Node {
	n := Node{Kind: kind, Name: name}
	if count := s.Replicas(); kind == Service && count != 1 {
		n.Note = spec.Plural(count, "replica")
	}
	if !b.add(n) {
		return n
	}
	for on, how := range s.DependsOn {
		if to, ok := b.named(on); ok {
			b.link(n, to, condition(how))
		}
	}
	for _, kind := range []struct{ key, value string }{{"network_mode", s.NetworkMode}, {"ipc", s.IPC}, {"pid", s.PID}} {
		if of, ok := strings.CutPrefix(kind.value, "service:"); ok {
			if to, ok := b.named(of); ok {
				b.link(n, to, "shares "+kind.key)
			}
		}
	}
	for _, from := range s.VolumesFrom {
		of, _, _ := strings.Cut(from, ":")
		if to, ok := b.named(of); ok {
			b.link(n, to, "volumes")
		}
	}
	if s.Build != nil {
		for context, from := range s.Build.AdditionalContexts {
			if of, ok := strings.CutPrefix(from, "service:"); ok {
				if to, ok := b.named(of); ok {
					b.link(n, to, "builds on it as "+context)
				}
			}
		}
	}
	if b.resources {
		b.uses(n, s)
	}
	return n
}

// named is the service or job of a name.
func (b *builder) named(name string) (Node, bool) {
	if s := b.project.Services[name]; s != nil {
		return b.service(name, s, Service), true
	}
	if s := b.project.Jobs[name]; s != nil {
		return b.service(name, s, Job), true
	}
	return Node{}, false
}

// condition is what is waited for.
func condition(d spec.Dependency) string {
	word := map[string]string{spec.ServiceHealthy: "healthy", spec.ServiceCompleted: "completed", spec.ServiceStarted: "started"}[d.Condition]
	if !d.Required {
		word += ", if it is there"
	}
	return word
}

func (b *builder) uses(n Node, s *spec.Service) {
	for key := range s.Networks {
		b.link(n, b.network(key), "")
	}
	for _, m := range s.Mounts() {
		if m.Type == spec.MountVolume && m.Source != "" {
			label := m.Target
			if m.ReadOnly {
				label += ", read-only"
			}
			b.link(n, b.volume(m.Source), label)
		}
	}
	for _, f := range s.Secrets {
		b.link(n, b.secret(f.Source), f.Target)
	}
	for _, f := range s.Configs {
		b.link(n, b.config(f.Source), f.Target)
	}
}

func external(is bool) string {
	if is {
		return "external"
	}
	return ""
}

func (b *builder) network(key string) Node {
	n := Node{Kind: Network, Name: key}
	if of := b.project.Networks[key]; of != nil {
		n.Note = external(of.External)
		if of.Internal {
			n.Note = strings.TrimPrefix(n.Note+", internal", ", ")
		}
	}
	b.add(n)
	return n
}

func (b *builder) volume(key string) Node {
	n := Node{Kind: Volume, Name: key}
	if of := b.project.Volumes[key]; of != nil {
		n.Note = external(of.External)
	}
	b.add(n)
	return n
}

func (b *builder) secret(key string) Node {
	n := Node{Kind: Secret, Name: key}
	if of := b.project.Secrets[key]; of != nil {
		n.Note = external(of.External)
	}
	b.add(n)
	return n
}

func (b *builder) config(key string) Node {
	n := Node{Kind: Config, Name: key}
	if of := b.project.Configs[key]; of != nil {
		n.Note = external(of.External)
	}
	b.add(n)
	return n
}

// rest adds what no service uses.
func (b *builder) rest() {
	for key := range b.project.Networks {
		b.network(key)
	}
	for key := range b.project.Volumes {
		b.volume(key)
	}
	for key := range b.project.Secrets {
		b.secret(key)
	}
	for key := range b.project.Configs {
		b.config(key)
	}
}

func (b *builder) graph() *Graph {
	g := &Graph{Name: b.project.Name}
	g.Nodes = slices.SortedFunc(maps.Values(b.nodes), func(x, y Node) int {
		return cmp.Or(slices.Index(kinds[:], x.Kind)-slices.Index(kinds[:], y.Kind), strings.Compare(x.Name, y.Name))
	})
	rank := map[string]int{}
	for i, n := range g.Nodes {
		rank[n.ID()] = i
	}
	for ends, labels := range b.edges {
		slices.Sort(labels)
		g.Edges = append(g.Edges, Edge{From: ends[0], To: ends[1], Label: strings.Join(slices.DeleteFunc(labels, func(l string) bool { return l == "" }), "; ")})
	}
	slices.SortFunc(g.Edges, func(x, y Edge) int { return cmp.Or(rank[x.From]-rank[y.From], rank[x.To]-rank[y.To]) })
	return g
}

// out are the edges that leave a node.
func (g *Graph) out(id string) (list []Edge) {
	for _, e := range g.Edges {
		if e.From == id {
			list = append(list, e)
		}
	}
	return list
}

func (g *Graph) node(id string) Node {
	return g.Nodes[slices.IndexFunc(g.Nodes, func(n Node) bool { return n.ID() == id })]
}

// printable is the graph with names and labels that steer no terminal, and that XML may have.
func (g *Graph) printable() *Graph {
	clean := func(text string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || spec.IsUnseen(r) || r == 0xfffe || r == 0xffff {
				return unicode.ReplacementChar
			}
			return r
		}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
	}
	c := &Graph{Name: clean(g.Name)}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, Node{Kind: n.Kind, Name: clean(n.Name), Note: clean(n.Note)})
	}
	for _, e := range g.Edges {
		c.Edges = append(c.Edges, Edge{From: clean(e.From), To: clean(e.To), Label: clean(e.Label)})
	}
	return c
}

// Text is the graph for people: a paragraph a service, a line each thing that it needs; then what nobody uses.
func (g *Graph) Text() string {
	g = g.printable()
	var b strings.Builder
	used := map[string]bool{}
	for _, e := range g.Edges {
		used[e.To] = true
	}
	var idle []Node
	for _, n := range g.Nodes {
		needs := g.out(n.ID())
		if n.Kind != Service && n.Kind != Job {
			if !used[n.ID()] {
				idle = append(idle, n)
			}
			continue
		}
		fmt.Fprintf(&b, " %s\n", n.title())
		for i, e := range needs {
			branch := "├─"
			if i == len(needs)-1 {
				branch = "└─"
			}
			to := g.node(e.To)
			line := fmt.Sprintf("   %s %-8s %s", branch, to.Kind, to.Name)
			if e.Label != "" {
				line = fmt.Sprintf("   %s %-8s %-16s %s", branch, to.Kind, to.Name, e.Label)
			}
			fmt.Fprintln(&b, line)
		}
	}
	for _, n := range idle {
		fmt.Fprintf(&b, " %s %s, used by nothing\n", n.Kind, n.title())
	}
	return b.String()
}

func (n Node) title() string {
	switch {
	case n.Kind == Job:
		return n.Name + " (job)"
	case n.Note != "":
		return n.Name + " (" + n.Note + ")"
	}
	return n.Name
}
