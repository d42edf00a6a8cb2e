package registries

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustRead(t *testing.T, path string) *Config {
	t.Helper()
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestALoginInDockersFile leaves all else in it, and a file that nobody else may read.
//
// Risk registry auth leak: a login is written into a file that others can read, or in place of what else is in it
// Held: the file is replaced as a whole, has mode 0600 whatever it had, and keeps its other keys and values
func TestALoginInDockersFile(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.json"), filepath.Join(dir, "config.json")
	write(t, real, `{"psFormat":"{{.ID}}","auths":{"other.test":{"auth":"b3RoZXI6eA==","own":1}},"proxies":{"default":{"httpProxy":"http://p"}},"unknown":[1, 2.50]}`, 0o644)
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	helper, err := mustRead(t, link).Keep(t.Context(), "r.test", Account{User: "ann", Password: "open sesame"})
	if err != nil || helper != "" {
		t.Fatalf("%q, %v", helper, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Error("the link is a file now")
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	var doc struct {
		Auths   map[string]map[string]any
		Format  string `json:"psFormat"`
		Proxies map[string]map[string]string
		Unknown []json.Number
	}
	if err := json.Unmarshal([]byte(read(t, real)), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Format != "{{.ID}}" || doc.Proxies["default"]["httpProxy"] != "http://p" || doc.Unknown[1] != "2.50" || doc.Auths["other.test"]["own"] != 1.0 {
		t.Errorf("what else was there is %+v", doc)
	}
	if doc.Auths["r.test"]["auth"] != "YW5uOm9wZW4gc2VzYW1l" {
		t.Errorf("the login is %v", doc.Auths["r.test"])
	}

	if _, err := mustRead(t, link).Keep(t.Context(), "r.test", Account{User: "ann", Password: "open sesame", IdentityToken: "idt"}); err != nil {
		t.Fatal(err)
	}
	if text := read(t, real); !strings.Contains(text, `"identitytoken": "idt"`) || !strings.Contains(text, `"auth": "YW5uOg=="`) || strings.Contains(text, "YW5uOm9wZW4") {
		t.Errorf("with an identity token: %s", text)
	}
	if had, err := mustRead(t, link).Forget(t.Context(), "r.test"); !had || err != nil {
		t.Errorf("%v, %v", had, err)
	}
	if had, err := mustRead(t, link).Forget(t.Context(), "r.test"); had || err != nil {
		t.Errorf("again: %v, %v", had, err)
	}
	if text := read(t, real); strings.Contains(text, "r.test\"") && strings.Contains(text, "idt") {
		t.Errorf("left is %s", text)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left are %v", left)
	}
}

// TestCredentialHelpers get the logins of their registries, and no others.
//
// Risk registry auth leak: a configuration names a credential helper by a path, or one that fails
// Held: a helper is a name, gets the login of its own registry by its standard input, and where it fails nothing is kept
func TestCredentialHelpers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	script := "#!/bin/sh\necho \"$0 $1\" >> " + dir + "/calls\ncat >> " + dir + "/calls\necho >> " + dir + "/calls\n"
	write(t, filepath.Join(dir, "docker-credential-all"), script, 0o700)
	write(t, filepath.Join(dir, "docker-credential-one"), script, 0o700)
	write(t, filepath.Join(dir, "docker-credential-bad"), "#!/bin/sh\necho the vault is locked\nexit 1\n", 0o700)
	write(t, filepath.Join(dir, "docker-credential-none"), "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n", 0o700)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	write(t, path, `{"credsStore":"all","credHelpers":{"one.test":"one","bad.test":"bad","none.test":"none","gone.test":"gone","evil.test":"../x","clear.test":""}}`, 0o600)
	for host, want := range map[string]string{
		"one.test": "docker-credential-one store\n" + `{"Secret":"s","ServerURL":"one.test","Username":"ann"}`,
		"any.test": "docker-credential-all store\n" + `{"Secret":"s","ServerURL":"any.test","Username":"ann"}`,
	} {
		if helper, err := mustRead(t, path).Keep(t.Context(), host, Account{User: "ann", Password: "s"}); err != nil || helper == "" {
			t.Fatalf("%s: %q, %v", host, helper, err)
		}
		if calls := strings.TrimSpace(read(t, filepath.Join(dir, "calls"))); !strings.HasSuffix(calls, want) {
			t.Errorf("%s: %s", host, calls)
		}
	}
	if _, err := mustRead(t, path).Keep(t.Context(), "any.test", Account{User: "ann", IdentityToken: "idt"}); err != nil || !strings.Contains(read(t, filepath.Join(dir, "calls")), `{"Secret":"idt","ServerURL":"any.test","Username":"\u003ctoken\u003e"}`) {
		t.Errorf("an identity token: %v, %s", err, read(t, filepath.Join(dir, "calls")))
	}
	for host, want := range map[string]string{"bad.test": "the vault is locked", "gone.test": "docker-credential-gone is not installed", "evil.test": `helper "../x", which is no name`} {
		if _, err := mustRead(t, path).Keep(t.Context(), host, Account{User: "ann", Password: "s"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if helper, err := mustRead(t, path).Keep(t.Context(), "clear.test", Account{User: "ann", Password: "s"}); err != nil || helper != "" {
		t.Errorf("%q, %v", helper, err)
	}
	if text := read(t, path); !strings.Contains(text, `"one.test": {}`) || strings.Count(text, `"auth"`) != 1 {
		t.Errorf("the file is %s", text)
	}
	if had, err := mustRead(t, path).Forget(t.Context(), "none.test"); had || err != nil {
		t.Errorf("%v, %v", had, err)
	}
	if had, err := mustRead(t, path).Forget(t.Context(), "one.test"); !had || err != nil || !strings.HasSuffix(strings.TrimSpace(read(t, filepath.Join(dir, "calls"))), "docker-credential-one erase\none.test") {
		t.Errorf("%v, %v", had, err)
	}
}

func TestFilesThatAreNotDockers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "config.json")
	if _, err := mustRead(t, path).Keep(t.Context(), "r.test", Account{User: "a", Password: "b"}); err != nil {
		t.Errorf("a new one: %v", err)
	}
	for text, want := range map[string]string{"{": "is not valid JSON", "null": "is not valid JSON", `{"auths":[]}`: "auths is not valid", `{"credsStore":1}`: "credsStore is not valid"} {
		write(t, path, text, 0o600)
		c, err := ReadConfig(path)
		if err == nil {
			_, err = c.Keep(t.Context(), "r.test", Account{User: "a", Password: "b"})
		}
		if err == nil || !strings.Contains(err.Error(), want) || read(t, path) != text {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestHostOf(t *testing.T) {
	for text, want := range map[string][2]string{
		"": {hub, hubKey}, "docker.io": {hub, hubKey}, hubKey: {hub, hubKey}, "r.test:5000": {"r.test:5000", "r.test:5000"},
		"https://r.test/v2/": {"r.test", "r.test"}, "http://r.test": {"r.test", "r.test"}, "a b": {}, "https://": {}, "u@r.test": {},
	} {
		host, key, err := HostOf(text)
		if host != want[0] || key != want[1] || (err == nil) == (want[0] == "") {
			t.Errorf("%q: %q, %q, %v", text, host, key, err)
		}
	}
}
