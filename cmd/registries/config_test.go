package registries

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// TestLoginsThatAreKeptTogether are all kept, with what somebody else has written since the file was read.
//
// Risk registry auth leak: a login puts back what has been removed from the file while its password was asked for
// Held: the file is read again under a lock, and one key of it is replaced
func TestLoginsThatAreKeptTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "docker")
	path := filepath.Join(dir, "config.json")
	stale := mustRead(t, path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, `{"auths":{"other.test":{"auth":"x"}},"psFormat":"json"}`, 0o600)
	if _, err := stale.Keep(t.Context(), "r.test", Account{User: "a", Password: "b"}); err != nil {
		t.Fatal(err)
	}
	if text := read(t, path); !strings.Contains(text, "other.test") || !strings.Contains(text, "psFormat") || !strings.Contains(text, "r.test") {
		t.Errorf("the file is %s", text)
	}
	stale = mustRead(t, path)
	if _, err := mustRead(t, path).Forget(t.Context(), "other.test"); err != nil {
		t.Fatal(err)
	}
	if had, err := stale.Forget(t.Context(), "r.test"); !had || err != nil {
		t.Errorf("%v, %v", had, err)
	}
	if text := read(t, path); strings.Contains(text, ".test") {
		t.Errorf("the file is %s", text)
	}
	var all sync.WaitGroup
	for i := range 20 {
		c := mustRead(t, path)
		all.Go(func() {
			if _, err := c.Keep(t.Context(), fmt.Sprintf("r%d.test", i), Account{User: "a", Password: "b"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := strings.Count(read(t, path), ".test"); n != 20 {
		t.Errorf("%d logins are kept of 20", n)
	}
}

// TestAFileStaysItsOwners where root writes it, as under sudo; so does what is made for it.
func TestAFileStaysItsOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can give files away")
	}
	const user, group = 4711, 4712
	home := t.TempDir()
	if err := os.Chown(home, user, group); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, ".docker", "config.json")
	for _, host := range []string{"new.test", "old.test"} {
		if _, err := mustRead(t, path).Keep(t.Context(), host, Account{User: "a", Password: "b"}); err != nil {
			t.Fatal(err)
		}
		for _, made := range []string{path, filepath.Dir(path)} {
			if got, err := ownerOf(made); err != nil || got != (owner{user, group}) {
				t.Errorf("%s: %s is of %v, %v", host, made, got, err)
			}
		}
	}
}

// TestLogoutForgetsAllAddresses of a registry that others have kept logins under.
func TestLogoutForgetsAllAddresses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	write(t, filepath.Join(dir, "docker-credential-all"), "#!/bin/sh\n{ echo \"$0 $1\" ; cat; echo; } >> "+dir+"/calls\n", 0o700)
	write(t, filepath.Join(dir, "docker-credential-one"), "#!/bin/sh\n{ echo \"$0 $1\" ; cat; echo; } >> "+dir+"/calls\n", 0o700)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	const auths = `"auths":{"https://r.test/v1/":{"auth":"x"},"https://r.test":{"auth":"x"},"http://r.test/v2/":{},"r.test:5000":{"auth":"x"},"https://index.docker.io/v1/":{},"docker.io":{},"":{}}`
	for _, c := range []struct{ more, host, left, gone, calls string }{
		{"", "r.test", "r.test:5000", "r.test/", ""},
		{"", hubKey, "r.test/v1", "docker.io", ""},
		{`"credsStore":"all",`, "r.test", "r.test:5000", "r.test/", "docker-credential-all erase\nhttp://r.test/v2/\ndocker-credential-all erase\nhttps://r.test\ndocker-credential-all erase\nhttps://r.test/v1/\ndocker-credential-all erase\nr.test\n"},
		{`"credsStore":"all","credHelpers":{"r.test":"one"},`, "r.test", "r.test:5000", "r.test/", "docker-credential-one erase\nhttp://r.test/v2/\ndocker-credential-one erase\nhttps://r.test\ndocker-credential-one erase\nhttps://r.test/v1/\ndocker-credential-one erase\nr.test\n"},
	} {
		write(t, path, "{"+c.more+auths+"}", 0o600)
		write(t, filepath.Join(dir, "calls"), "", 0o600)
		if had, err := mustRead(t, path).Forget(t.Context(), c.host); !had || err != nil {
			t.Errorf("%s: %v, %v", c.host, had, err)
		}
		if text := read(t, path); !strings.Contains(text, c.left) || strings.Contains(text, c.gone) {
			t.Errorf("%s: left is %s", c.host, text)
		}
		if calls := strings.ReplaceAll(read(t, filepath.Join(dir, "calls")), dir+"/", ""); calls != c.calls {
			t.Errorf("%s: the helpers are called with\n%swant\n%s", c.host, calls, c.calls)
		}
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
