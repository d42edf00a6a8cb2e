package engine

import (
	"os"
	"slices"
	"testing"

	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/settings"
)

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(settings.Path(root), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestMirrors: the hosts that a registry is reached at, in order. The order of
// the settings' map must not matter, so it is asked often.
func TestMirrors(t *testing.T) {
	root := settingsFile(t, `
registries:
  docker.io:
    mirrors: ["http://127.0.0.1:5000", "https://mirror.example/prefix"]
  127.0.0.1:5000:
    username: me
  plain.example:
    http: true
`)
	hosts := registryHosts(root, &outbound.Callers{})
	for range 20 {
		for name, want := range map[string][]string{
			"docker.io":     {"http://127.0.0.1:5000/v2", "https://mirror.example/v2/prefix", "https://registry-1.docker.io/v2"},
			"plain.example": {"http://plain.example/v2"},
			"other.example": {"https://other.example/v2"},
		} {
			list, err := hosts(name)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range list {
				got = append(got, h.Scheme+"://"+h.Host+h.Path)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%s is reached at %v, want %v", name, got, want)
			}
		}
	}
	if err := os.WriteFile(settings.Path(root), []byte("registries: {docker.io: {mirrors: [other.example]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := hosts("docker.io"); err != nil || list[0].Host != "other.example" {
		t.Errorf("a change of the settings takes no effect: %v, %v", list, err)
	}
}
