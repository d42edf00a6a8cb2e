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

// TestFilesOfThePolicyAreLookedInto by whom asks for it: they may be put in place later.
func TestFilesOfThePolicyAreLookedInto(t *testing.T) {
	root := settingsFile(t, "trust:\n  redis: {require: signed-by, keys: [/nonexistent/a.pub]}\n  a.b/c: {require: signed-by, certificates: [/nonexistent/c.crt]}\n")
	if err := Check(root); err != nil {
		t.Error(err)
	}
	err := Examine(root)
	for _, want := range []string{Path(root) + ":2:10: cannot read a key: ", Path(root) + ":3:10: cannot read a certificate: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := Examine(t.TempDir()); err != nil {
		t.Error(err)
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

// TestAnEngineStartsWithMistakes: with what is valid, and a word about the rest.
func TestAnEngineStartsWithMistakes(t *testing.T) {
	for text, want := range map[string]struct {
		pools   int
		warning string
	}{
		"address_pools: [10.99.0.0/16]\n":                      {1, ""},
		"address_pools: [10.99.0.0/16, 10.98.0.0]\nzz: 1\n":    {1, `PATH:2:1: unknown key "zz": there are registries, address_pools, published_ports, security, policy, default_runtime, runtimes, gc, userns_remap, trust; PATH:1:31: address_pools[1]: "10.98.0.0" is not a range of addresses: write one such as 10.89.0.0/16`},
		"address_pools: [10.99.0.0/16]\nuserns_remap: 1:2\n":   {1, "PATH:2:15: userns_remap: a container needs 65536 users, and 1:2 are 2: write FIRST:SIZE, such as 100000:65536"},
		"address_pools: {a: b}\n":                              {0, "PATH:1:16: address_pools: expected a list, not a mapping"},
		"address_pools: [10.99.0.0/16\nregistries: [\n":        {0, "PATH:1: not valid YAML: did not find expected ',' or ']'"},
		"address_pools: [10.99.0.0/16]\nregistries: {<<: 1}\n": {1, "PATH:2:18: registries.<<: expected a mapping, not \"1\""},
	} {
		root := settingsFile(t, text)
		s, warning := AtStart(root)
		if want.warning != "" {
			want.warning = "the engine has started without what is wrong in its settings: " + strings.ReplaceAll(want.warning, "PATH", Path(root)) + `: correct it, then "orlop engine restart"`
		}
		if s == nil || len(s.AddressPools()) != want.pools || warning != want.warning {
			t.Errorf("%q\n got %+v, %s\nwant %s", text, s, warning, want.warning)
		}
	}
	root := t.TempDir()
	if err := os.Mkdir(Path(root), 0o700); err != nil {
		t.Fatal(err)
	}
	if s, warning := AtStart(root); s == nil || warning == "" {
		t.Errorf("a directory: %+v, %q", s, warning)
	}
}
