package stackfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

const written = `services:
  web:
    image: web:${TAG:?say which}
    build: ./web
    ports: ["${PORT:-80}:80", "90:90"]
    environment: ["A=${A}", "B=$$b"]
    env_file: ["${ENV_FILE}"]
    volumes: ["${DATA}:/data", "./sub:/sub", "v:/v"]
    deploy: {replicas: "${N}"}
    depends_on: [db]
  db: {image: db, profiles: ["${PROFILE}"], mem_limit: "${MEM}"}
volumes: {v: {}, spare: {}}
`

// modelOf is what Model makes of written, its directory written DIR.
func modelOf(t *testing.T, env map[string]string, kept Kept, services ...string) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"stack.yaml": written, "web.env": "FROM=file\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, _, err := Model(context.Background(), Options{Dir: dir, Environ: env, Kept: kept, Services: services})
	if err != nil {
		return "", err
	}
	text, err := spec.EncodeYAML(root.Document(!kept.Variables))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), dir, "DIR"), nil
}

func TestAModelKeepsVariables(t *testing.T) {
	got, err := modelOf(t, nil, Kept{Variables: true})
	if err != nil {
		t.Fatal(err)
	}
	const want = `name: demo
networks:
  default:
    name: demo_default
services:
  db:
    image: db
    mem_limit: ${MEM}
    networks:
      default: null
    profiles:
      - ${PROFILE}
  web:
    build:
      context: DIR/web
      dockerfile: Dockerfile
    depends_on:
      db:
        condition: service_started
        required: true
    deploy:
      replicas: ${N}
    env_file:
      - ${ENV_FILE}
    environment:
      A: ${A}
      B: $$b
    image: web:${TAG:?say which}
    networks:
      default: null
    ports:
      - ${PORT:-80}:80
      - mode: ingress
        protocol: tcp
        published: "90"
        target: 90
    volumes:
      - ${DATA}:/data
      - bind:
          create_host_path: true
        source: DIR/sub
        target: /sub
        type: bind
      - source: v
        target: /v
        type: volume
        volume: {}
volumes:
  spare:
    name: demo_spare
  v:
    name: demo_v
`
	if got != want {
		t.Errorf("the model is\n%s", got)
	}
}

// TestVariablesAreNoMistakes: nobody knows yet what such a value is.
func TestVariablesAreNoMistakes(t *testing.T) {
	dir := t.TempDir()
	const text = `services:
  web:
    image: a
    extra_hosts: ["a:${H}"]
    ports: [{target: "${T}"}]
    links: ["${L}"]
    pid: "service:${S}"
    volumes_from: ["${V}"]
    ulimits: {nofile: "${U}"}
    volumes: ["./a$$b:/y"]
    network_mode: "service:${S}"
    scale: ${N}
`
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	root, _, err := Model(context.Background(), Options{Dir: dir, Kept: Kept{Variables: true}})
	if err != nil {
		t.Fatal(err)
	}
	out, _ := spec.EncodeYAML(root.Document(false))
	for _, want := range []string{"target: ${T}", "- a:${H}", "nofile: ${U}", "pid: service:${S}", "source: " + dir + "/a$$b\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
}

func TestAModelLeavesWhatItIsToldTo(t *testing.T) {
	env := map[string]string{"TAG": "1", "ENV_FILE": "web.env", "DATA": "./data", "N": "2", "MEM": "1m", "A": "a"}
	for _, c := range []struct {
		name      string
		kept      Kept
		has, lack string
	}{
		{"defaults", Kept{Defaults: true}, "context: DIR/web\n", "demo_default|dockerfile:|name: demo_v"},
		{"paths", Kept{Paths: true}, "context: ./web\n|source: ./data\n|source: ./sub\n|FROM: file\n|name: demo_v", "DIR"},
		{"environment", Kept{Environment: true}, "path: DIR/web.env\n|A: a\n|B: $$b\n", "FROM"},
		{"environment and paths", Kept{Environment: true, Paths: true}, "path: web.env\n", "DIR"},
	} {
		got, err := modelOf(t, env, c.kept)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for _, text := range strings.Split(c.has, "|") {
			if !strings.Contains(got, text) {
				t.Errorf("%s: without %q:\n%s", c.name, text, got)
			}
		}
		for _, text := range strings.Split(c.lack, "|") {
			if strings.Contains(got, text) {
				t.Errorf("%s: with %q:\n%s", c.name, text, got)
			}
		}
		if strings.Contains(got, "spare") {
			t.Errorf("%s: with a volume that nothing uses:\n%s", c.name, got)
		}
	}
}

func TestAModelIsOfTheServicesThatAreAskedFor(t *testing.T) {
	env := map[string]string{"TAG": "1", "ENV_FILE": "web.env", "DATA": "./data", "N": "2", "MEM": "1m", "PROFILE": "extra"}
	got, err := modelOf(t, env, Kept{Paths: true}, "db")
	if err != nil || strings.Contains(got, "web") || !strings.Contains(got, "image: db\n") {
		t.Errorf("%v\n%s", err, got)
	}
	_, err = modelOf(t, env, Kept{Paths: true}, "nosuch")
	var unknown *spec.UnknownService
	if !errors.As(err, &unknown) {
		t.Errorf("of a service that is not there: %v", err)
	}
	_, err = modelOf(t, map[string]string{"TAG": "1"}, Kept{Paths: true})
	var mistakes *spec.Mistakes
	if !errors.As(err, &mistakes) {
		t.Errorf("of variables that are missing: %v", err)
	}
}

// TestMistakesOfServicesThatAreNotAskedForAreWarnings, and keep nobody from the others.
func TestMistakesOfServicesThatAreNotAskedForAreWarnings(t *testing.T) {
	dir := t.TempDir()
	const text = `services:
  web: {image: a, container_name: one, depends_on: [cache]}
  cache: {image: a}
  twin: {image: a, container_name: one}
  db: {image: a, healthcheck: {test: "true", start_interval: 1s}}
`
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]int{"web": 0, "twin": 0, "db": 1, "web twin": 1, "web db": 1, "": 2} {
		_, diagnostics, err := Load(context.Background(), Options{Dir: dir, Services: strings.Fields(asked), Only: true})
		if got := len(diagnostics.Errors()); got != want || (err != nil) != (want > 0) {
			t.Errorf("asked for %q: %d mistakes, want %d: %v", asked, got, want, err)
		}
		if asked == "web" && len(diagnostics.Warnings()) == 0 {
			t.Error("nobody is told of what is wrong elsewhere")
		}
	}
}
