package graph

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/orlop/orlop/spec"
)

// shop is a stack with all that a graph shows.
func shop() *spec.Project {
	two := 2
	return &spec.Project{
		Name: "shop",
		Services: map[string]*spec.Service{
			"web": {
				Scale: &two, DependsOn: map[string]spec.Dependency{
					"db": {Condition: spec.ServiceHealthy, Required: true}, "migrate": {Condition: spec.ServiceCompleted, Required: true},
				},
				Networks: map[string]*spec.ServiceNetwork{"front": nil, "back": nil}, Secrets: []spec.FileMount{{Source: "token", Target: "/run/token"}},
			},
			"db": {
				Networks: map[string]*spec.ServiceNetwork{"back": nil}, Volumes: []spec.Mount{{Type: spec.MountVolume, Source: "data", Target: "/data", ReadOnly: true}},
			},
			"migrate": {DependsOn: map[string]spec.Dependency{"db": {Condition: spec.ServiceHealthy, Required: true}}, NetworkMode: "service:db"},
		},
		Jobs:     map[string]*spec.Service{"backup": {DependsOn: map[string]spec.Dependency{"db": {Condition: spec.ServiceStarted}}}},
		Networks: map[string]*spec.Network{"front": {External: true}, "back": {Internal: true}, "idle": {}},
		Volumes:  map[string]*spec.Volume{"data": {}},
		Secrets:  map[string]*spec.Secret{"token": {}},
	}
}

func TestText(t *testing.T) {
	want := ` db
   ├─ network  back
   └─ volume   data             /data, read-only
 migrate
   └─ service  db               healthy; shares network_mode
 web (2 replicas)
   ├─ service  db               healthy
   ├─ service  migrate          completed
   ├─ network  back
   ├─ network  front
   └─ secret   token            /run/token
 backup (job)
   └─ service  db               started, if it is there
 network idle, used by nothing
`
	if got := Of(shop(), nil, true).Text(); got != want {
		t.Errorf("the graph is\n%s\nwant\n%s", got, want)
	}
}

func TestSelected(t *testing.T) {
	g := Of(shop(), []string{"migrate"}, false)
	want := " db\n migrate\n   └─ service  db               healthy; shares network_mode\n"
	if got := g.Text(); got != want {
		t.Errorf("the graph is\n%s\nwant\n%s", got, want)
	}
}

func TestLanguages(t *testing.T) {
	p := shop()
	p.Volumes[`a"<b`] = &spec.Volume{}
	g := Of(p, nil, true)
	for what, text := range map[string]string{
		`"service web" -> "service db" [label="healthy"]`: g.DOT(), `"volume a\"<b" [shape=cylinder, label="a\"<b"]`: g.DOT(),
		`-->|"healthy"|`: g.Mermaid(), `[("a&quot;&lt;b")]`: g.Mermaid(),
	} {
		if !strings.Contains(text, what) {
			t.Errorf("no %s in\n%s", what, text)
		}
	}
}

// TestNothingSteersTheTerminal of names and paths that the stack file has.
func TestNothingSteersTheTerminal(t *testing.T) {
	p := shop()
	hostile(p)
	g := Of(p, nil, true)
	for what, text := range map[string]string{"text": g.Text(), "DOT": g.DOT(), "Mermaid": g.Mermaid(), "SVG": g.SVG()} {
		if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }); i >= 0 {
			t.Errorf("%s has %q", what, text[i:min(len(text), i+20)])
		}
	}
}

// hostile gives a project names and paths that would do something to a terminal, and that XML may not have.
func hostile(p *spec.Project) {
	p.Name = "sh\x1b]0;op\aop\x00"
	p.Volumes["\x1b[2Ja\ufffe\xff\u202e"] = &spec.Volume{}
	p.Services["db"].Volumes[0].Target = "/da\x1b[31mta\x08\x01"
}

func TestSVGIsXML(t *testing.T) {
	p := shop()
	p.Volumes[`a"<b`] = &spec.Volume{}
	hostile(p)
	g := Of(p, nil, true)
	boxes, dec := 0, xml.NewDecoder(strings.NewReader(g.SVG()))
	for {
		token, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "rect" {
			boxes++
		}
	}
	if boxes != len(g.Nodes) {
		t.Errorf("%d boxes for %d nodes", boxes, len(g.Nodes))
	}
}

func TestWhatNeedsOthersStandsLeft(t *testing.T) {
	g := Of(shop(), nil, true)
	boxes, _, _ := g.layout()
	at := map[string]*box{}
	for _, b := range boxes {
		at[b.ID()] = b
	}
	for _, e := range g.Edges {
		if at[e.From].x+at[e.From].w >= at[e.To].x {
			t.Errorf("%s is not left of %s", e.From, e.To)
		}
	}
	for i, x := range boxes {
		for _, y := range boxes[i+1:] {
			if x.x < y.x+y.w && y.x < x.x+x.w && x.y < y.y+boxHeight && y.y < x.y+boxHeight {
				t.Errorf("%s and %s lie over each other", x.ID(), y.ID())
			}
		}
	}
}
