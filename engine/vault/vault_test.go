package vault

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec"
)

func newVault(t *testing.T) *Vault {
	t.Helper()
	return New(t.TempDir(), func() time.Time { return time.Unix(1000, 0) })
}

// TestContentsAreSealed holds that no file has a content, that nobody but root reads them,
// and that one entry's does not open as another's.
func TestContentsAreSealed(t *testing.T) {
	v := newVault(t)
	content := []byte("a content that is secret")
	for _, name := range []string{"one", "two.x-y_z"} {
		if _, err := v.Put(Entry{Kind: Secrets, Name: name, Labels: map[string]string{"a": "b"}}, content, false); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Dir(v.dir)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, content) {
			t.Errorf("%s has the content", path)
		}
		if st, _ := d.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, st.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.Content(Secrets, "one"); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%q %v", got, err)
	}
	doc, err := os.ReadFile(v.path(Secrets, "one"))
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(string(doc), `"name":"one"`, `"name":"two.x-y_z"`, 1)
	if err := os.WriteFile(v.path(Secrets, "two.x-y_z"), []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Content(Secrets, "two.x-y_z"); err == nil {
		t.Errorf("another's content was given: %q", got)
	}
	if err := os.WriteFile(v.path(Secrets, "one"), doc[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Content(Secrets, "one"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a torn file: %v", err)
	}
}

func TestNamesOfEntries(t *testing.T) {
	v := newVault(t)
	for _, name := range []string{"", "../x", "a/b", ".x", "x.", strings.Repeat("x", 65), "a b"} {
		if _, err := v.Put(Entry{Kind: Configs, Name: name}, []byte("x"), false); err == nil {
			t.Errorf("%q was kept", name)
		}
		if err := v.Remove(Configs, name); !errors.Is(err, ErrAbsent) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPutAgain(t *testing.T) {
	v := newVault(t)
	put := func(content string, replace bool) error {
		_, err := v.Put(Entry{Kind: Configs, Name: "x"}, []byte(content), replace)
		return err
	}
	if err := put("one", false); err != nil {
		t.Fatal(err)
	}
	if err := put("two", false); !errors.Is(err, ErrExists) {
		t.Errorf("put again: %v", err)
	}
	if err := put("two", true); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Content(Configs, "x"); err != nil || string(got) != "two" {
		t.Errorf("%q %v", got, err)
	}
	if list, err := v.Entries(Configs); err != nil || len(list) != 1 {
		t.Errorf("%v %v", list, err)
	}
}

// TestAllThatIsMissingIsToldAtItsPlace holds that nothing is asked for twice.
func TestAllThatIsMissingIsToldAtItsPlace(t *testing.T) {
	v := newVault(t)
	if _, err := v.Put(Entry{Kind: Secrets, Name: "there"}, []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	p := &spec.Project{
		Services: map[string]*spec.Service{"web": {Secrets: []spec.FileMount{{Source: "a"}, {Source: "b"}}, Configs: []spec.FileMount{{Source: "c"}}}},
		Secrets:  map[string]*spec.Secret{"a": {Name: "there", External: true}, "b": {Name: "b", External: true}, "unused": {Name: "z", External: true}},
		Configs:  map[string]*spec.Config{"c": {Name: "c", External: true}},
		Places:   spec.PlacesOf(map[string]spec.Place{"secrets.b.external": {File: "stack.yaml", Line: 3, Column: 4}}),
	}
	payloads, err := v.Fill(p, p, map[string]*api.Payload{})
	if err == nil || !strings.Contains(err.Error(), "stack.yaml:3:4: external secret b does not exist") || !strings.Contains(err.Error(), "external config c does not exist") ||
		strings.Contains(err.Error(), "secret z") {
		t.Errorf("%v", err)
	}
	if len(payloads) != 1 || !payloads["secrets.a"].Secret || string(payloads["secrets.a"].Content) != "x" {
		t.Errorf("%v", payloads)
	}
}

// TestWhatMayBeUsedIsNotRemoved holds that an entry stays where it can't be told who uses it,
// and that ls says so.
func TestWhatMayBeUsedIsNotRemoved(t *testing.T) {
	v := newVault(t)
	if _, err := v.Put(Entry{Kind: Secrets, Name: "token"}, []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	s := &Server{Vault: v, Users: func(string, string) ([]string, error) { return nil, errors.New("the store can't be read") }}
	if _, err := s.Remove(t.Context(), &api.RemoveEntryRequest{Secret: true, Name: "token"}); err == nil || !strings.Contains(err.Error(), "cannot remove secret token: the store") {
		t.Errorf("it is removed: %v", err)
	}
	reply, err := s.Entries(t.Context(), &api.EntriesRequest{Secret: true})
	if err != nil || len(reply.Entries) != 1 || !strings.Contains(reply.Warning, "the store can't be read") {
		t.Errorf("%v %v", reply, err)
	}
}
