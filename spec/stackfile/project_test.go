package stackfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// load loads one file that must be right.
func load(t *testing.T, content string, opts Options) *spec.Project {
	t.Helper()
	opts.Dir = t.TempDir()
	opts.Files = []string{"-"}
	opts.Stdin = strings.NewReader(content)
	p, _, err := Load(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const wholeService = `
name: shop
services:
  web:
    image: nginx
    command: []
    entrypoint: a b
    environment: {A: "$$1", NIL: }
    ports: ["8080:80"]
    volumes: ["data:/data", "/x:/x:ro", {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]
    networks: {front: {aliases: [a]}, back: }
    depends_on: {db: {condition: service_healthy, restart: true}}
    healthcheck: {test: [CMD, a], interval: 90s, retries: 0}
    mem_limit: 64m
    cpus: 0.25
    init: false
    scale: 0
    stop_grace_period: 0s
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}
    secrets: [{source: s, target: /s, mode: 0440}]
    configs: [c]
    build: {context: ., args: {X: "1"}}
  db: {image: db, volumes: ["big:/d"]}
  lone: {image: lone, environment: {A: "1"}}
networks: {front: {internal: true, ipam: {config: [{subnet: 10.0.0.0/24}]}}, back: }
volumes: {data: , big: {external: true}}
secrets: {s: {environment: TOKEN}}
configs: {c: {content: hello}}
`

func environ() map[string]string { return map[string]string{"TOKEN": "canary-5cret"} }

func TestTheDocumentRoundTrips(t *testing.T) {
	p := load(t, wholeService, Options{Environ: environ()})
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	back, err := spec.ParseProject(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back.Services, p.Services) {
		t.Error("services differ after a round trip")
	}
	if !reflect.DeepEqual(back.Networks, p.Networks) || !reflect.DeepEqual(back.Volumes, p.Volumes) || !reflect.DeepEqual(back.Configs, p.Configs) {
		t.Error("resources differ after a round trip")
	}
	again, err := json.Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Errorf("the document is\n%s\nafter a round trip, want\n%s", again, data)
	}
	if _, err := spec.ParseProject([]byte(`{"services": {"a": null}}`)); err == nil {
		t.Error("a service without content was accepted")
	}
}

func TestTheCanonicalFormLoadsToTheSame(t *testing.T) {
	p := load(t, wholeService, Options{Environ: environ()})
	for name, form := range map[string]func() ([]byte, error){"YAML": p.YAML, "JSON": p.JSON} {
		first, err := form()
		if err != nil {
			t.Fatal(err)
		}
		q := load(t, string(first), Options{Environ: environ()})
		if !reflect.DeepEqual(q.Services, p.Services) {
			second, _ := q.YAML()
			t.Errorf("%s loads to\n%s\nwant\n%s", name, second, first)
		}
	}
}

// TestSecretsStandNowhereButInPayloads holds what the line of the risk says.
//
// Risk secrets: a project with secrets is printed and sent
// Held: they stand in none of its forms
func TestSecretsStandNowhereButInPayloads(t *testing.T) {
	p := load(t, `
services: {a: {image: a, secrets: [one, two]}}
secrets: {one: {environment: TOKEN}, two: {content: "canary-5cret"}}
`, Options{Environ: environ()})
	wire, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := p.YAML()
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := p.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range [][]byte{wire, asYAML, asJSON} {
		if bytes.Contains(shown, []byte("canary")) {
			t.Errorf("the secret is shown: %s", shown)
		}
	}
	for _, name := range []string{"secrets.one", "secrets.two"} {
		if payload := p.Payloads[name]; string(payload.Content) != "canary-5cret" || !payload.Secret {
			t.Errorf("payload %s is %+v", name, payload)
		}
	}
}

func TestHashFollowsWhatMakesTheContainer(t *testing.T) {
	hash := func(service string) string {
		return load(t, "services:\n  web: "+service, Options{}).Hash("web")
	}
	base := hash(`{image: a, environment: {A: "1", B: "2"}}`)
	same := []string{`{environment: [B=2, A=1], image: a}`, `{image: a, environment: {A: "1", B: "2"}, scale: 3, profiles: []}`}
	for _, s := range same {
		if hash(s) != base {
			t.Errorf("the hash changed with %s", s)
		}
	}
	for _, s := range []string{`{image: b, environment: {A: "1", B: "2"}}`, `{image: a, environment: {A: "1"}}`} {
		if hash(s) == base {
			t.Errorf("the hash did not change with %s", s)
		}
	}
}

func TestSelect(t *testing.T) {
	p := load(t, wholeService, Options{Environ: environ()})
	tests := []struct {
		name               string
		services           []string
		noDeps             bool
		want, nets, mounts []string
		payloads           int
	}{
		{"everything", nil, false, []string{"db", "lone", "web"}, []string{"back", "default", "front"}, []string{"big", "data"}, 2},
		{"with dependencies", []string{"web"}, false, []string{"db", "web"}, []string{"back", "default", "front"}, []string{"big", "data"}, 2},
		{"without", []string{"web"}, true, []string{"web"}, []string{"back", "front"}, []string{"data"}, 2},
		{"alone", []string{"lone"}, false, []string{"lone"}, []string{"default"}, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q, err := p.Select(test.services, test.noDeps)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(q.Services)); !reflect.DeepEqual(got, test.want) {
				t.Errorf("services %v, want %v", got, test.want)
			}
			if got := slices.Sorted(maps.Keys(q.Networks)); !reflect.DeepEqual(got, test.nets) {
				t.Errorf("networks %v, want %v", got, test.nets)
			}
			if got := slices.Sorted(maps.Keys(q.Volumes)); !reflect.DeepEqual(got, test.mounts) {
				t.Errorf("volumes %v, want %v", got, test.mounts)
			}
			if len(q.Payloads) != test.payloads {
				t.Errorf("%d payloads, want %d", len(q.Payloads), test.payloads)
			}
			if test.noDeps && len(q.Services["web"].DependsOn) > 0 {
				t.Error("a dependency on a service that was left out stays")
			}
		})
	}
	if len(p.Services["web"].DependsOn) != 1 {
		t.Error("Select changed the project that it selects from")
	}
	_, err := p.Select([]string{"wbe"}, false)
	var unknown *spec.UnknownService
	if !errors.As(err, &unknown) || err.Error() != `no service named "wbe" (did you mean "web"?)` {
		t.Errorf("the error is %v", err)
	}
}

func TestSelectNamesTheProfileOfAnInactiveService(t *testing.T) {
	p := load(t, "services: {a: {image: a}, b: {image: b, profiles: [debug]}}", Options{})
	_, err := p.Select([]string{"b"}, false)
	if err == nil || err.Error() != `service "b" is not active: activate it with --profile debug` {
		t.Errorf("the error is %v", err)
	}
	if p.Disabled["b"] == nil || p.Disabled["b"].Image != "b" {
		t.Error("the inactive service is not kept as disabled")
	}
}

func TestPlacesOfEveryValue(t *testing.T) {
	p := load(t, `services:
  web:
    image: nginx
    environment:
      - LOG=info
      - B=2
    ports: ["80:80", "81:81"]
    volumes:
      - data:/data
    networks: [n]
    command: a b
networks:
  n: {internal: true}
volumes: {data: }
`, Options{})
	want := map[string][2]int{
		"services.web":                   {2, 3},
		"services.web.image":             {3, 12},
		"services.web.environment":       {4, 5},
		"services.web.environment.LOG":   {5, 9},
		"services.web.ports[1]":          {7, 22},
		"services.web.ports[1].target":   {7, 22},
		"services.web.volumes[0].source": {9, 9},
		"services.web.networks.n":        {10, 16},
		"services.web.command":           {11, 5},
		"services.web.command[1]":        {11, 14},
		"networks.n.internal":            {13, 17},
		"volumes.data":                   {14, 11},
	}
	for path, at := range want {
		if got := p.Places.All()[path]; got != (spec.Place{File: "<stdin>", Line: at[0], Column: at[1]}) {
			t.Errorf("%s is at %v, want line %d, column %d", path, got, at[0], at[1])
		}
	}
}

func TestPlacesFollowTheFileThatWon(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a.yaml", "services:\n  web:\n    image: old\n    environment: {A: a, B: a}\n")
	write(t, dir+"/b.yaml", "services:\n  web:\n    environment: [B=b]\n    image: new\n")
	p, _, err := Load(context.Background(), Options{Dir: dir, Files: []string{"a.yaml", "b.yaml"}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]spec.Place{
		"services.web.image":         {File: "b.yaml", Line: 4, Column: 12},
		"services.web.environment.A": {File: "a.yaml", Line: 4, Column: 22},
		"services.web.environment.B": {File: "b.yaml", Line: 3, Column: 19},
	} {
		if got := p.Places.All()[path]; got != want {
			t.Errorf("%s is at %v, want %v", path, got, want)
		}
	}
}

func TestEveryComplaintOfALineFormReadsAsTheIssueSays(t *testing.T) {
	_, diagnostics, err := Load(context.Background(), Options{Dir: t.TempDir(), Files: []string{"-"},
		Stdin: strings.NewReader("services:\n  web:\n    prots: []\n    image: a\n")})
	var mistakes *spec.Mistakes
	if !errors.As(err, &mistakes) || len(diagnostics) != 1 {
		t.Fatalf("%v, %v", err, diagnostics)
	}
	if want := `<stdin>:3:5: services.web: unknown key "prots" (did you mean "ports"?)`; err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
	var shown bytes.Buffer
	if err := diagnostics.Render(&shown, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(shown.String(), "\x1b[31m^^^^^\x1b[0m did you mean") {
		t.Errorf("no colour in %q", shown.String())
	}
}

func TestALineIsFoundForWhatIsFoundLater(t *testing.T) {
	dir := t.TempDir()
	text := "services:\n  a:\n    build: ./nowhere # gone\n  b:\n    build: {context: ctx, dockerfile: Other}\n"
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(line, column int) spec.Diagnostic {
		return spec.Diagnostic{Severity: spec.Error, Place: spec.Place{File: "stack.yaml", Line: line, Column: column}, Message: "no", Hint: "do"}
	}
	var b strings.Builder
	ds := spec.Diagnostics{at(3, 12), at(5, 39), at(5, 22), {Severity: spec.Error, Place: spec.Place{File: "<stdin>", Line: 1, Column: 1}, Message: "no"}}
	if err := ds.Sourced(dir).Render(&b, false); err != nil {
		t.Fatal(err)
	}
	want := `stack.yaml:3:12: no
    3 |     build: ./nowhere # gone
      |            ^^^^^^^^^ do
stack.yaml:5:39: no
    5 |     build: {context: ctx, dockerfile: Other}
      |                                       ^^^^^ do
stack.yaml:5:22: no
    5 |     build: {context: ctx, dockerfile: Other}
      |                      ^^^ do
<stdin>:1:1: no
4 mistakes in stack.yaml, <stdin>; nothing was changed
`
	if b.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", b.String(), want)
	}
}
