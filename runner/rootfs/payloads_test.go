package rootfs

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// documents are kept in memory: an engine's store.
type documents map[string]map[string][]byte

func (d documents) Save(bucket, key string, value []byte) {
	if d[bucket] == nil {
		d[bucket] = map[string][]byte{}
	}
	d[bucket][key] = bytes.Clone(value)
}
func (d documents) Delete(bucket, key string)                     { delete(d[bucket], key) }
func (d documents) Load(bucket string) (map[string][]byte, error) { return maps.Clone(d[bucket]), nil }

// TestAProjectThatIsGoneLeavesNoSecret: neither by its name nor in memory that
// another holds.
func TestAProjectThatIsGoneLeavesNoSecret(t *testing.T) {
	p, none := NewPayloads(documents{}), func() [][]byte { return nil }
	content := []byte("canary")
	p.Set("shop", map[string][]byte{"secrets.key": content, "configs.motd": []byte("hello")}, nil, none)
	p.Set("shop", map[string][]byte{"secrets.other": []byte("another")}, nil, none)
	p.Set("blog", map[string][]byte{"secrets.key": []byte("of the blog")}, nil, none)
	if got := p.Mask("shop", none).Text("canary, another, hello, of the blog"); got != "***, ***, hello, of the blog" {
		t.Errorf("the mask shows %q", got)
	}
	p.Forget("shop")
	if _, err := p.Content("shop", "secrets.key", none); err == nil || string(content) == "canary" {
		t.Errorf("the secret is there: %q", content)
	}
	if b, err := p.Content("blog", "secrets.key", none); err != nil || string(b) != "of the blog" {
		t.Errorf("another project's is %q", b)
	}
	p.Forget("shop") // once more is once
	p.Set("shop", map[string][]byte{"secrets.key": []byte("a new one")}, nil, none)
	if b, err := p.Content("shop", "secrets.key", none); err != nil || string(b) != "a new one" {
		t.Errorf("a project of the same name has %q", b)
	}
}

// What the containers of a project were given by an engine before this one is
// hidden, too; they are asked once.
func TestSecretsOfAnEngineBeforeAreHidden(t *testing.T) {
	p := NewPayloads(documents{})
	asked := 0
	given := func() [][]byte { asked++; return [][]byte{[]byte("oldest"), nil} }
	if got := p.Mask("shop", given).Text("the oldest secret"); got != "the *** secret" {
		t.Errorf("the mask shows %q", got)
	}
	p.Set("shop", map[string][]byte{"secrets.key": []byte("newest")}, nil, given)
	if got := p.Mask("shop", given).Text("oldest, newest"); got != "***, ***" || asked != 1 {
		t.Errorf("the mask shows %q, asked %d times", got, asked)
	}
	for key, want := range map[string]bool{"secrets.key": true, "configs.key": false, "key": false} {
		if IsSecret(key) != want {
			t.Errorf("%s is a secret: %t", key, !want)
		}
	}
}

// The next engine was told nothing: it reads the files again, and hides what it reads.
func TestWhatIsAFilesIsReadAgainByTheNextEngine(t *testing.T) {
	dir, docs, none := t.TempDir(), documents{}, func() [][]byte { return nil }
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{"secrets.key": []byte("canary"), "secrets.env": []byte("x"), "configs.motd": []byte("hello")}
	NewPayloads(docs).Set("shop", contents, map[string]Source{"secrets.key": {File: path}, "configs.motd": {Content: "hello"}}, none)
	if all, _ := docs.Load(bucketSources); strings.Contains(string(all["shop"]), "canary") {
		t.Errorf("a secret is kept: %s", all["shop"])
	}
	next := NewPayloads(docs)
	for key, want := range map[string]string{"secrets.key": "canary", "configs.motd": "hello"} {
		if got, err := next.Content("shop", key, none); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
	if got := next.Mask("shop", none).Text("the canary"); got != "the ***" {
		t.Errorf("what was read again shows: %q", got)
	}
	if _, err := next.Content("shop", "secrets.env", none); err == nil || !strings.Contains(err.Error(), "secrets.env is not known any more") {
		t.Errorf("one that was no file's: %v", err)
	}
	os.Remove(path)
	if _, err := next.Content("shop", "secrets.key", none); err == nil || !strings.Contains(err.Error(), "secrets.key can't be read again") {
		t.Errorf("a file that is gone: %v", err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Content("shop", "secrets.key", none); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a pipe in its place: %v", err)
	}
	next.Forget("shop")
	if all, _ := docs.Load(bucketSources); len(all) > 0 {
		t.Errorf("left is %s", all)
	}
}
