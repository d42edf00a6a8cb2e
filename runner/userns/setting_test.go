package userns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec"
)

// TestSettings: a range, or a user whose range the machine's files say; what is none is told.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	subuid, subgid := filepath.Join(dir, "subuid"), filepath.Join(dir, "subgid")
	for path, text := range map[string]string{
		subuid: "# comment\nsmall:100000:1000\nsmall:200000:70000\norlop:300000:65536\n4242:400000:65536\nboth:500000:131072\nfar:4294967000:65536\n",
		subgid: "small:200000:65536\norlop:310000:65536\nteam:600000:65536\nboth:500000:65536\n4242:400000:65536\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"100000:65536":      "100000:65536",
		"default":           "300000/310000:65536",
		"small":             "200000:65536",
		"both:team":         "500000/600000:65536",
		"both":              "500000:65536",
		"4242":              "400000:65536",
		"1000:1000":         "a container needs 65536 users",
		"1000:65536":        "users below 65536 are the machine's own",
		"4294960000:65536":  "there are no users above",
		"far":               "gives far no range",
		"nobody-here":       "subuid gives nobody-here no range of 65536: add a line such as nobody-here:100000:65536",
		"small:nobody-here": "subgid gives nobody-here no range",
	} {
		ids, err := Setting{Text: text}.read(subuid, subgid)
		switch {
		case err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%q: %v, want %q", text, err, want)
		case err == nil && ids.String() != want:
			t.Errorf("%q is %v, want %q", text, ids, want)
		case err == nil && *spec.ParseIDMap(ids.String()) != *ids:
			t.Errorf("%q is read back as %v", ids, spec.ParseIDMap(ids.String()))
		}
	}
}

// TestASettingKnowsItsLine: what is wrong with it is told with that.
func TestASettingKnowsItsLine(t *testing.T) {
	var file struct {
		Remap Setting `yaml:"userns_remap"`
	}
	if err := yaml.Unmarshal([]byte("\n\nuserns_remap: 1:2\n"), &file); err != nil {
		t.Fatal(err)
	}
	_, err := file.Remap.Map("/x/engine.yaml")
	if err == nil || !strings.HasPrefix(err.Error(), "/x/engine.yaml:3:15: userns_remap: ") {
		t.Errorf("it says %v", err)
	}
}

// TestGovern: who says nothing gets the engine's users; what an engine before wrote there
// is none of it.
func TestGovern(t *testing.T) {
	ids := &spec.IDMap{UID: 100000, GID: 100000, Size: 65536}
	project := func(services map[string]*spec.Service) *spec.Project {
		return &spec.Project{Name: "p", Services: services}
	}
	p := project(map[string]*spec.Service{
		"web":  {PreStart: []*spec.Service{{}, {UsernsMode: "host"}}},
		"host": {UsernsMode: "host", Privileged: true},
		"old":  {UsernsMode: "200000:65536"},
	})
	if err := govern(p, ids); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web": "100000:65536", "host": "host", "old": "100000:65536"} {
		if got := p.Services[name].UsernsMode; got != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
	if first := p.Services["web"].PreStart; first[0].UsernsMode != "100000:65536" || first[1].UsernsMode != "host" {
		t.Errorf("its init containers have %q and %q", first[0].UsernsMode, first[1].UsernsMode)
	}
	if err := govern(p, nil); err != nil || p.Services["web"].UsernsMode != "" || p.Services["host"].UsernsMode != "host" {
		t.Errorf("without the setting it is %v and %q, %q", err, p.Services["web"].UsernsMode, p.Services["host"].UsernsMode)
	}
	for want, services := range map[string]map[string]*spec.Service{
		"services.a.privileged: ":            {"a": {Privileged: true}},
		"services.a.pre_start[0].pid: ":      {"a": {PreStart: []*spec.Service{{PID: "host"}}}},
		"services.a.ipc: ":                   {"a": {IPC: "host"}},
		"services.a.network_mode: ":          {"a": {NetworkMode: "host"}},
		"services.a.pid: ":                   {"a": {PID: "service:b"}, "b": {}},
		"services.b.network_mode: it shares": {"a": {}, "b": {NetworkMode: "service:a", UsernsMode: "host"}},
		"services.a.ipc: the engine's userns_remap gives it users of its own, who can share the IPC namespace of container \"x\" only with its network": {
			"a": {IPC: "container:x", NetworkMode: "container:y"},
		},
		"": {"a": {PID: "service:b", NetworkMode: "service:b"}, "b": {}},
	} {
		err := govern(project(services), ids)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("it says %v, want %q", err, want)
		}
	}
}
