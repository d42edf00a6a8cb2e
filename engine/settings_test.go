package engine

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/engine/outbound"
)

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(settingsPath(root), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestSettingsMayBeMissingOrEmpty(t *testing.T) {
	for name, root := range map[string]string{
		"missing": t.TempDir(), "empty": settingsFile(t, ""), "comments": settingsFile(t, "# nothing\n\n"),
	} {
		s, err := loadSettings(root)
		if err != nil || len(s.Registries) > 0 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestSettingsPools(t *testing.T) {
	s := &settings{Pools: []string{"10.99.0.0/16", "fd00::/48"}}
	got, err := s.pools()
	if err != nil || !slices.Equal(got, []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("fd00::/48")}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := (&settings{Pools: []string{"10.99.0.0"}}).pools(); err == nil || !strings.Contains(err.Error(), `"10.99.0.0"`) {
		t.Errorf("no range: %v", err)
	}
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
	if err := os.WriteFile(settingsPath(root), []byte("registries: {docker.io: {mirrors: [other.example]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := hosts("docker.io"); err != nil || list[0].Host != "other.example" {
		t.Errorf("a change of the settings takes no effect: %v, %v", list, err)
	}
}

func TestSettingsCredentials(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &settings{Registries: map[string]registrySettings{
		"docker.io": {Username: "me", Password: secret},
		"gone":      {Username: "me", Password: secret + ".gone"},
	}}
	for _, host := range []string{"docker.io", "registry-1.docker.io"} {
		if user, pass, err := s.credentials(host); user != "me" || pass != "hunter2" || err != nil {
			t.Errorf("%s: %q, %q, %v", host, user, pass, err)
		}
	}
	if user, pass, err := s.credentials("other"); user+pass != "" || err != nil {
		t.Errorf("other: %q, %q, %v", user, pass, err)
	}
	if _, _, err := s.credentials("gone"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("gone: %v", err)
	}
}
