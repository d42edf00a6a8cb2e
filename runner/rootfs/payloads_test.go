package rootfs

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/orlop/orlop/spec"
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
	p, none := NewPayloads(documents{}), func() map[string][][]byte { return nil }
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
	given := func() map[string][][]byte {
		asked++
		return map[string][][]byte{"secrets.key": {[]byte("oldest"), nil}, "configs.motd": {[]byte("the")}}
	}
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

// TestThePayloadsOfTheNextEngine: it was told nothing. What containers have of a payload
// is taken, or else its file's content, unless that changed since `up`; nothing else is read.
//
// Risk secrets: the file of a secret is replaced after `up`: by a new version, a link to a file of root's, one of another user, a pipe
// Held: the engine reads nothing again that a container still has; after a reboot it follows no link, opens no file of another owner, and gives no container what was not there at `up`: its service waits, and `ps` says for what
func TestThePayloadsOfTheNextEngine(t *testing.T) {
	const changed, unknown = `its secret key changed since "orlop up": run it again`, `the content of its secret env is not known any more`
	var kept map[string][][]byte
	copies := func() map[string][][]byte { return kept }
	dir, docs := t.TempDir(), documents{}
	path := filepath.Join(dir, "key")
	write := func(path, text string) error {
		return errors.Join(os.RemoveAll(path), os.WriteFile(path, []byte(text), 0o600))
	}
	for _, err := range []error{write(path, "canary"), write(dir+"/shadow", "root's"), write(dir+"/empty", "")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	contents := map[string][]byte{"secrets.key": []byte("canary"), "secrets.env": []byte("x"), "configs.motd": []byte("hello"), "configs.none": {}}
	origins := map[string]Origin{"secrets.key": {File: path}, "configs.motd": {Content: "hello"}}
	NewPayloads(docs).Set("shop", contents, origins, copies)
	all, _ := docs.Load(bucketSources)
	if strings.Contains(string(all["shop"]), "canary") {
		t.Errorf("a secret is kept: %s", all["shop"])
	}
	NewPayloads(docs).Set("shop", contents, origins, copies)
	if again, _ := docs.Load(bucketSources); string(again["shop"]) != string(all["shop"]) {
		t.Errorf("the same is kept otherwise: %s, %s", all["shop"], again["shop"])
	}
	for _, tt := range []struct {
		name, key string
		before    func() error
		want, err string
	}{
		{"as it was", "secrets.key", nil, "canary", ""},
		{"of the stack file", "configs.motd", nil, "hello", ""},
		{"an empty one", "configs.none", nil, "", ""},
		{"of nobody", "secrets.env", nil, "", unknown},
		{"never heard of", "secrets.other", nil, "", "the content of its secret other is not known any more"},
		{"a container's", "secrets.env", func() error { kept = map[string][][]byte{"secrets.env": {[]byte("older"), []byte("x")}}; return nil }, "x", ""},
		{"a container's that is another", "secrets.env", func() error { kept = map[string][][]byte{"secrets.env": {[]byte("older")}}; return nil }, "", unknown},
		{"a container's, not the file's", "secrets.key", func() error {
			kept = map[string][][]byte{"secrets.key": {[]byte("canary")}}
			return write(path, "newer")
		}, "canary", ""},
		{"a new version", "secrets.key", func() error { kept = nil; return nil }, "", changed},
		{"a link", "secrets.key", func() error { return errors.Join(os.Remove(path), os.Symlink(dir+"/shadow", path)) }, "", changed},
		{"a pipe", "secrets.key", func() error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, "", changed},
		{"gone", "secrets.key", func() error { return os.Remove(path) }, "", "the file of its secret key can't be read again"},
		{"back again", "secrets.key", func() error { return write(path, "canary") }, "canary", ""},
	} {
		if tt.before != nil {
			if err := tt.before(); err != nil {
				t.Fatal(tt.name, err)
			}
		}
		next := NewPayloads(docs)
		got, err := next.Content("shop", tt.key, copies)
		if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if shown := next.Mask("shop", copies).Text("the canary"); tt.want == "canary" && shown != "the ***" {
			t.Errorf("%s: what was read again shows: %q", tt.name, shown)
		}
	}
	next := NewPayloads(docs)
	next.Forget("shop")
	if all, _ := docs.Load(bucketSources); len(all) > 0 {
		t.Errorf("left is %s", all)
	}
}

// An engine of before kept no digests: what it names is not read on its word.
func TestAFileWithoutADigestIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("root's"), 0o600); err != nil {
		t.Fatal(err)
	}
	docs := documents{}
	docs.Save(bucketSources, "shop", []byte(`{"secrets.key":{"file":"`+path+`"}}`))
	if got, err := NewPayloads(docs).Content("shop", "secrets.key", func() map[string][][]byte { return nil }); err == nil || !strings.Contains(err.Error(), "not known any more") {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestThePayloadsOfAnEngineWithoutDigests: what the one before an upgrade kept of where
// payloads come from.
//
// Fault 5: the engine is upgraded from one that kept no digests of secrets and configs
// Seen: nothing: what the stack file holds, and what containers have, is known
// Kept: containers are started again, also after a reboot, if their files are as they were at the upgrade; a file is still read only if it is the same
func TestThePayloadsOfAnEngineWithoutDigests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	docs := documents{}
	docs.Save(bucketSources, "shop", []byte(`{"secrets.key":{"file":"`+path+`"},"secrets.two":{"file":"`+path+`"},"configs.motd":{"content":"hello"},"configs.none":{}}`))
	copies := func() map[string][][]byte {
		return map[string][][]byte{
			"secrets.key": {[]byte("canary"), []byte("canary")}, "secrets.env": {[]byte("x")}, "secrets.two": {[]byte("older"), []byte("canary")}, "configs.motd": {[]byte("hello")},
		}
	}
	none := func() map[string][][]byte { return nil }
	check := func(when string, copies Copies, want map[string]string) {
		t.Helper()
		p := NewPayloads(docs)
		for key, content := range want {
			got, err := p.Content("shop", key, copies)
			if isUnknown := err != nil && strings.Contains(err.Error(), "not known any more"); string(got) != strings.TrimPrefix(content, "?") || isUnknown != (content == "?") {
				t.Errorf("%s: %s is %q, %v, want %q", when, key, got, err, content)
			}
		}
	}
	check("without what containers have", none, map[string]string{"configs.motd": "hello", "configs.none": "", "secrets.key": "?", "secrets.env": "?"})
	NewPayloads(docs).Learn("shop", copies)
	check("learned", copies, map[string]string{"configs.motd": "hello", "configs.none": "", "secrets.key": "canary", "secrets.env": "x", "secrets.two": "?"})
	check("rebooted", none, map[string]string{"configs.motd": "hello", "secrets.key": "canary", "secrets.env": "?"})
	all, _ := docs.Load(bucketSources)
	before := string(all["shop"])
	if strings.Contains(before, "canary") {
		t.Errorf("a secret is kept: %s", before)
	}
	NewPayloads(docs).Learn("shop", func() map[string][][]byte { return map[string][][]byte{"secrets.key": {[]byte("forged")}} })
	if all, _ := docs.Load(bucketSources); string(all["shop"]) != before {
		t.Errorf("what was known is %s, was %s", all["shop"], before)
	}
}

// TestWhatComesOfATemplateIsHidden holds that a container's secret is hidden as the container
// has it, also by the next engine, which does not take it for the template.
func TestWhatComesOfATemplateIsHidden(t *testing.T) {
	service := &spec.Service{Environment: map[string]*string{"PASSWORD": ptr("canary")}, Secrets: []spec.FileMount{{Source: "dsn", Target: "dsn"}}}
	templates, docs := []string{"secrets.dsn"}, documents{}
	none := func() map[string][][]byte { return nil }
	p := NewPayloads(docs)
	p.Set("shop", map[string][]byte{"secrets.dsn": []byte("db://{{env \"PASSWORD\"}}@db")}, nil, none)
	content, err := p.Rendered("shop", none, service, templates, &Facts{})("secrets.dsn")
	if err != nil || string(content) != "db://canary@db" {
		t.Fatalf("%q %v", content, err)
	}
	if got := p.Mask("shop", none).Text("at db://canary@db"); got != "at ***" {
		t.Errorf("it shows %q", got)
	}
	s := &Secrets{dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(s.dir, "c1"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "c1", "0"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	copies := func() map[string][][]byte {
		all := map[string][][]byte{}
		s.Copy(all, "c1", service, templates)
		return all
	}
	next := NewPayloads(docs)
	next.Learn("shop", copies)
	if got := next.Mask("shop", copies).Text("at db://canary@db"); got != "at ***" {
		t.Errorf("the next engine shows %q", got)
	}
	if got, err := next.Content("shop", "secrets.dsn", copies); err == nil || !strings.Contains(err.Error(), "not known any more") {
		t.Errorf("the template is %q, %v", got, err)
	}
	next.docs.Delete(bucketSources, "shop") // as where an older engine kept nothing
	next.Learn("shop", copies)
	if all, _ := docs.Load(bucketSources); len(all) > 0 {
		t.Errorf("it learned %s", all["shop"])
	}
}

// lost are documents that can't be read.
type lost struct{ documents }

func (lost) Load(string) (map[string][]byte, error) { return nil, errors.New("input/output error") }

// TestWhoUsesAnEntryIsNotGuessed holds that nobody takes for unused what may be used.
func TestWhoUsesAnEntryIsNotGuessed(t *testing.T) {
	always := func(string, string) bool { return true }
	docs := documents{}
	NewPayloads(docs).Set("shop", map[string][]byte{"secrets.key": []byte("canary")}, map[string]Origin{"secrets.key": {Stored: "token"}}, func() map[string][][]byte { return nil })
	if users, err := NewPayloads(docs).Users("secrets", "token", always); err != nil || len(users) != 1 {
		t.Errorf("%v %v", users, err)
	}
	if users, err := NewPayloads(lost{docs}).Users("secrets", "token", always); err == nil {
		t.Errorf("of a store that can't be read: %v", users)
	}
	docs.Save(bucketSources, "shop", []byte("{"))
	if users, err := NewPayloads(docs).Users("secrets", "token", always); err == nil {
		t.Errorf("of what is damaged: %v", users)
	}
}

func ptr(s string) *string { return &s }
