package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/planner"
)

// TestNamesOfNamespaces: what is none is refused, with what would be one.
func TestNamesOfNamespaces(t *testing.T) {
	for _, name := range []string{"shop", "a", "shop-2", "2shop"} {
		if err := checkNamespace("namespace", name); err != nil {
			t.Error(err)
		}
	}
	for name, hint := range map[string]string{"Bad_NS": "such as bad-ns", "../../esc": "such as esc", "a b/../x": "", "A B": "such as a-b", "": "", "-": "", "a.b": "such as a-b", strings.Repeat("a", 64): ""} {
		if err := checkNamespace("overlay", name); err == nil || !strings.HasPrefix(err.Error(), "--overlay is ") || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestARenderRemovesWhatAnEarlierOneWrote: and nothing that is the user's.
func TestARenderRemovesWhatAnEarlierOneWrote(t *testing.T) {
	dir := t.TempDir()
	set := func(services ...string) *manifest.Set {
		s := &manifest.Set{}
		for _, name := range services {
			body := map[string]any{"kind": "Service", "metadata": map[string]any{"name": name, "labels": map[string]any{manifest.LabelManager: core.Tool}}}
			s.Resources = append(s.Resources, &manifest.Resource{Kind: manifest.OfService, Key: name, Objects: []*manifest.Object{{Body: body}}})
		}
		return s
	}
	write := func(s *manifest.Set) written {
		t.Helper()
		w, err := writeKustomize(files{}, dir, s, []string{"staging"})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if w := write(set("web", "old")); w.files != 4 || len(w.removed) > 0 {
		t.Errorf("the first wrote %d files, removed %q", w.files, w.removed)
	}
	own := "kind: ConfigMap\nmetadata: {name: own}\n"
	list := filepath.Join(dir, "base", "kustomization.yaml")
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(dir, "base", "own.yaml"): own, filepath.Join(dir, "outside.yaml"): "metadata: {labels: {" + manifest.LabelManager + ": orlop}}\n",
		list: string(text) + "  - own.yaml\n  - ../outside.yaml\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if w := write(set("web")); w.files != 2 || !slices.Equal(w.removed, []string{"service-old.yaml"}) {
		t.Errorf("the second wrote %d files, removed %q", w.files, w.removed)
	}
	for path, isThere := range map[string]bool{"base/service-web.yaml": true, "base/service-old.yaml": false, "base/own.yaml": true, "outside.yaml": true, "overlays/staging/kustomization.yaml": true} {
		if _, err := os.Stat(filepath.Join(dir, path)); (err == nil) != isThere {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTwoResourcesHaveAFileEach(t *testing.T) {
	dir := t.TempDir()
	set := &manifest.Set{}
	for _, name := range []string{"a_b", "a.b"} {
		set.Resources = append(set.Resources, &manifest.Resource{Kind: manifest.OfConfig, Key: name, Objects: []*manifest.Object{{Body: map[string]any{"kind": "ConfigMap"}}}})
	}
	if _, err := writeKustomize(files{isForetold: true}, dir, set, []string{"staging"}); err != nil {
		t.Fatal(err)
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		t.Errorf("what was only foretold is there: %v (%v)", there, err)
	}
	if _, err := writeKustomize(files{}, dir, set, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config-a-b.yaml", "config-a-b-2.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, "base", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestABaseIsOfOneProject: a render of another one leaves it as it is.
func TestABaseIsOfOneProject(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "base")
	if err := checkBase(base, "k8s/base", "shop"); err != nil {
		t.Errorf("there is none yet: %v", err)
	}
	body := map[string]any{"kind": "Service", "metadata": map[string]any{"name": "web", "labels": map[string]any{manifest.LabelManager: core.Tool, manifest.LabelProject: "shop"}}}
	set := &manifest.Set{Resources: []*manifest.Resource{{Kind: manifest.OfService, Key: "web", Objects: []*manifest.Object{{Body: body}}}}}
	if _, err := writeKustomize(files{}, dir, set, nil); err != nil {
		t.Fatal(err)
	}
	if err := checkBase(base, "k8s/base", "shop"); err != nil {
		t.Errorf("it is of the same project: %v", err)
	}
	want := "k8s/base is of the project shop, and this is other: name another directory with -o, or remove k8s/base if other takes its place"
	if err := checkBase(base, "k8s/base", "other"); err == nil || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

// TestOverlaysThatAreThere: those with a kustomization.
func TestOverlaysThatAreThere(t *testing.T) {
	dir := t.TempDir()
	if names := overlaysOf(dir); len(names) > 0 {
		t.Errorf("without any they are %q", names)
	}
	for _, path := range []string{"overlays/prod/kustomization.yaml", "overlays/staging/kustomization.yml", "overlays/notes/README"} {
		if err := (files{}).write(filepath.Join(dir, path), "resources: []\n", 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if names := overlaysOf(dir); !slices.Equal(names, []string{"prod", "staging"}) {
		t.Errorf("they are %q", names)
	}
}

// TestImagesThatARenderDoesNotPushAreNamed: and those that are there are not.
func TestImagesThatARenderDoesNotPushAreNamed(t *testing.T) {
	built, copied := core.Image{Action: planner.Build, Step: "web"}, core.Image{Action: planner.Push, Step: "image db"}
	there := map[string]string{"services.web": "r/web:1", "jobs.web": "r/web:1", "services.db": "r/db:2", "services.cache": "r/cache@sha256:1", "services.a": "r/a:1", "services.b": "r/b:1"}
	for name, c := range map[string]struct {
		made map[string]core.Image
		gate string
		want string
	}{
		"none":                 {nil, "", ""},
		"a gate that is there": {nil, "r/orlop-gate@sha256:2", ""},
		"a gate":               {nil, "r/orlop-gate:1", "image that this did not push: r/orlop-gate:1; where the registry lacks it, render with --build first, which pushes it"},
		"one twice":            {map[string]core.Image{"services.web": built, "jobs.web": built}, "", "image that this did not push: r/web:1; where the registry lacks it, render with --build first, which builds and pushes it"},
		"many": {
			map[string]core.Image{"services.web": built, "services.db": copied, "services.a": built, "services.b": built}, "r/orlop-gate:1",
			"images that this did not push: r/a:1, r/b:1, r/db:2, 2 more; where the registry lacks them, render with --build first, which builds and pushes them",
		},
	} {
		if text := unpushed(&core.Document{Images: there, Gate: c.gate}, c.made); text != c.want {
			t.Errorf("%s: it says %q, want %q", name, text, c.want)
		}
	}
}
