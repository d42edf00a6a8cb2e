package settings

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(Path(root), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestSettingsMayBeMissingOrEmpty(t *testing.T) {
	for name, root := range map[string]string{
		"missing": t.TempDir(), "empty": settingsFile(t, ""), "comments": settingsFile(t, "# nothing\n\n"),
	} {
		s, err := Load(root)
		if err != nil || len(s.Registries) > 0 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestAddressPools(t *testing.T) {
	s, err := Load(settingsFile(t, `address_pools: [10.99.0.0/16, "fd00::/48"]`))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.AddressPools(); !slices.Equal(got, []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("fd00::/48")}) {
		t.Errorf("%v", got)
	}
}

func TestSettingsCredentials(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Settings{Registries: map[string]Registry{
		"docker.io": {Username: "me", Password: secret},
		"gone":      {Username: "me", Password: secret + ".gone"},
	}}
	for _, host := range []string{"docker.io", "registry-1.docker.io"} {
		if user, pass, err := s.Credentials(host); user != "me" || pass != "hunter2" || err != nil {
			t.Errorf("%s: %q, %q, %v", host, user, pass, err)
		}
	}
	if user, pass, err := s.Credentials("other"); user+pass != "" || err != nil {
		t.Errorf("other: %q, %q, %v", user, pass, err)
	}
	if _, _, err := s.Credentials("gone"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("gone: %v", err)
	}
}
