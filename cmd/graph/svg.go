package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Sizes of the drawing, in pixels. Letters are counted as wide as their widest: the drawing is made without a font.
const (
	letter    = 7.2
	boxHeight = 34.0
	gapX      = 90.0
	gapY      = 18.0
	margin    = 24.0
	leastBox  = 80.0
)

// box is a node with its place.
type box struct {
	Node
	layer, row int
	x, y, w    float64
}

// colours of the kinds: of the fill and of the line.
var colours = map[string][2]string{
	Service: {"#e8f0fe", "#3367d6"}, Job: {"#fef3e0", "#b06000"}, Network: {"#e6f4ea", "#188038"}, Volume: {"#f3e8fd", "#8430ce"},
	Secret: {"#fce8e6", "#c5221f"}, Config: {"#f1f3f4", "#5f6368"},
}

// SVG is the graph as a drawing: what needs others stands left of them.
func (g *Graph) SVG() string {
	g = g.printable()
	boxes, width, height := g.layout()
	at := map[string]*box{}
	for _, x := range boxes {
		at[x.ID()] = x
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="Helvetica, Arial, sans-serif" font-size="12">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "  <title>%s</title>\n", escape(g.Name))
	b.WriteString(`  <defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#80868b"/></marker></defs>` + "\n")
	for _, e := range g.Edges {
		drawEdge(&b, at[e.From], at[e.To], e.Label)
	}
	for _, x := range boxes {
		drawBox(&b, x)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func drawEdge(b *strings.Builder, from, to *box, label string) {
	x1, y1, x2, y2 := from.x+from.w, from.y+boxHeight/2, to.x, to.y+boxHeight/2
	bend := max(30, (x2-x1)/2)
	fmt.Fprintf(b, `  <path d="M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f" fill="none" stroke="#80868b" marker-end="url(#arrow)"/>`+"\n", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
	if label != "" {
		fmt.Fprintf(b, `  <text x="%.1f" y="%.1f" text-anchor="middle" font-size="10" fill="#5f6368">%s</text>`+"\n", (x1+x2)/2, (y1+y2)/2-3, escape(label))
	}
}

func drawBox(b *strings.Builder, x *box) {
	colour, round := colours[x.Kind], 4.0
	if x.Kind == Volume || x.Kind == Network {
		round = boxHeight / 2
	}
	fmt.Fprintf(b, `  <g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="%.0f" fill="%s" stroke="%s"/>`,
		escape(x.Kind+" "+x.Name), x.x, x.y, x.w, boxHeight, round, colour[0], colour[1])
	small := x.Kind
	if x.Note != "" {
		small += ", " + x.Note
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x.x+x.w/2, x.y+15, escape(x.Name))
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" font-size="9" fill="%s">%s</text></g>`+"\n", x.x+x.w/2, x.y+27, colour[1], escape(small))
}

// layout places the nodes in columns: each right of all that need it, near the middle of them.
func (g *Graph) layout() (boxes []*box, width, height float64) {
	at := map[string]*box{}
	for _, n := range g.Nodes {
		one := &box{Node: n, w: max(leastBox, letter*float64(max(utf8.RuneCountInString(n.Name), utf8.RuneCountInString(n.Kind+n.Note)))+16)}
		boxes, at[n.ID()] = append(boxes, one), one
	}
	g.layers(at)
	var columns [][]*box
	for _, x := range boxes {
		for len(columns) <= x.layer {
			columns = append(columns, nil)
		}
		columns[x.layer] = append(columns[x.layer], x)
	}
	left := margin
	for i, column := range columns {
		if i > 0 {
			g.order(column, at)
		}
		widest := 0.0
		for row, x := range column {
			x.row, x.x, x.y = row, left, margin+float64(row)*(boxHeight+gapY)
			widest, height = max(widest, x.w), max(height, x.y+boxHeight)
		}
		left += widest + max(gapX, g.widestLabel(column))
		width = max(width, left-gapX)
	}
	return boxes, max(width, leastBox) + 2*margin, height + margin
}

// widestLabel is the room that the labels of what leaves a column need.
func (g *Graph) widestLabel(column []*box) (width float64) {
	for _, x := range column {
		for _, e := range g.out(x.ID()) {
			width = max(width, 5.8*float64(utf8.RuneCountInString(e.Label))+24)
		}
	}
	return width
}

// layers puts each node right of all that need it. What is used by services stands in the column behind the last of them.
func (g *Graph) layers(at map[string]*box) {
	for range at { // as many rounds as the longest chain could take; a stack has no circles
		moved := false
		for _, e := range g.Edges {
			if from, to := at[e.From], at[e.To]; to.layer <= from.layer {
				to.layer, moved = from.layer+1, true
			}
		}
		if !moved {
			break
		}
	}
	last := 0
	for _, x := range at {
		if x.Kind == Service || x.Kind == Job {
			last = max(last, x.layer)
		}
	}
	for _, x := range at {
		if x.Kind != Service && x.Kind != Job {
			x.layer = last + 1
		}
	}
}

// order sorts a column by the middle of the rows that its nodes are needed from.
func (g *Graph) order(column []*box, at map[string]*box) {
	middle := map[*box]float64{}
	for _, x := range column {
		sum, n := 0.0, 0
		for _, e := range g.Edges {
			if e.To == x.ID() {
				sum, n = sum+float64(at[e.From].row), n+1
			}
		}
		if n > 0 {
			middle[x] = sum / float64(n)
		}
	}
	slices.SortStableFunc(column, func(x, y *box) int { return cmp.Compare(middle[x], middle[y]) })
}
