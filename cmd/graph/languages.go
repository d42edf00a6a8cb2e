package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// shapes are those of the kinds in Graphviz.
var shapes = map[string]string{Service: "box", Job: "cds", Network: "hexagon", Volume: "cylinder", Secret: "note", Config: "note"}

// DOT is the graph in the language of Graphviz.
func (g *Graph) DOT() string {
	g = g.printable()
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR\n  node [fontname=\"Helvetica\"]\n  edge [fontname=\"Helvetica\", fontsize=10]\n", quote(g.Name))
	for _, n := range g.Nodes {
		label := n.Name
		if n.Note != "" {
			label += "\n" + n.Note
		}
		fmt.Fprintf(&b, "  %s [shape=%s, label=%s]\n", quote(n.ID()), shapes[n.Kind], quote(label))
	}
	for _, e := range g.Edges {
		if e.Label == "" {
			fmt.Fprintf(&b, "  %s -> %s\n", quote(e.From), quote(e.To))
			continue
		}
		fmt.Fprintf(&b, "  %s -> %s [label=%s]\n", quote(e.From), quote(e.To), quote(e.Label))
	}
	b.WriteString("}\n")
	return b.String()
}

// quote is a text as Graphviz reads it.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// brackets are the shapes of the kinds in Mermaid.
var brackets = map[string][2]string{
	Service: {`["`, `"]`}, Job: {`[["`, `"]]`}, Network: {`{{"`, `"}}`}, Volume: {`[("`, `")]`}, Secret: {`>"`, `"]`}, Config: {`>"`, `"]`},
}

// Mermaid is the graph as a flow chart of Mermaid.
func (g *Graph) Mermaid() string {
	g = g.printable()
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := map[string]string{}
	for i, n := range g.Nodes {
		ids[n.ID()] = "n" + strconv.Itoa(i)
		label := n.Name
		if n.Note != "" {
			label += " (" + n.Note + ")"
		}
		fmt.Fprintf(&b, "  %s%s%s%s\n", ids[n.ID()], brackets[n.Kind][0], escape(label), brackets[n.Kind][1])
	}
	for _, e := range g.Edges {
		arrow := "-->"
		if e.Label != "" {
			arrow = fmt.Sprintf(`-->|"%s"|`, escape(e.Label))
		}
		fmt.Fprintf(&b, "  %s %s %s\n", ids[e.From], arrow, ids[e.To])
	}
	return b.String()
}

// escape is a text inside quotes of Mermaid, and of XML.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;").Replace(text)
}
