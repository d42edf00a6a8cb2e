package remote

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// upstream is a git repository that is served over HTTP on loopback.
type upstream struct {
	t      *testing.T
	tree   string
	served string
	url    string
	asked  int
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIPPED: needs git")
	}
	u := &upstream{t: t, tree: t.TempDir(), served: t.TempDir()}
	u.git("init", "-q", "-b", "main")
	programs := strings.TrimSpace(u.git("--exec-path"))
	backend := &cgi.Handler{Path: filepath.Join(programs, "git-http-backend"), Env: []string{"GIT_PROJECT_ROOT=" + u.served, "GIT_HTTP_EXPORT_ALL=1"}, InheritEnv: []string{"PATH"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.asked++
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	u.url = server.URL + "/repo.git"
	return u
}

func (u *upstream) git(words ...string) string {
	u.t.Helper()
	c := exec.Command("git", words...)
	c.Dir = u.tree
	c.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := c.CombinedOutput()
	if err != nil {
		u.t.Fatalf("git %v: %v\n%s", words, err, out)
	}
	return string(out)
}

// commit puts files in, and gives the commit.
func (u *upstream) commit(files map[string]string) string {
	u.t.Helper()
	for name, text := range files {
		at := filepath.Join(u.tree, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			u.t.Fatal(err)
		}
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(text), 0o755)
		}
		if err != nil {
			u.t.Fatal(err)
		}
	}
	u.git("add", "-A")
	u.git("commit", "-q", "--allow-empty", "-m", "x")
	u.publish()
	return strings.TrimSpace(u.git("rev-parse", "HEAD"))
}

// publish serves what the repository has now, alone.
func (u *upstream) publish() {
	u.t.Helper()
	to := filepath.Join(u.served, "repo.git")
	if err := os.RemoveAll(to); err != nil {
		u.t.Fatal(err)
	}
	u.git("clone", "-q", "--bare", "--no-local", u.tree, to)
}

func newStacks(t *testing.T, cache string) *Stacks {
	t.Helper()
	return New(Config{Cache: cache, Environ: append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")})
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestARepositoryIsLocked: the commit of the lock file is used, whatever its branch is
// since, without a word to the repository once it is there.
//
// Risk supply chain: a branch of a repository that a stack includes moves
// Held: the commit that orlop.lock names is used, until an update is asked for
func TestARepositoryIsLocked(t *testing.T) {
	u, cache, project := newUpstream(t), t.TempDir(), t.TempDir()
	first := u.commit(map[string]string{"app/compose.yaml": "one", "run.sh": "x", "link": "-> run.sh"})
	s := newStacks(t, cache)
	r, err := s.Fetch(t.Context(), u.url+"#main:app", project)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != u.url+"#main" || r.Path != "app" || r.Digest != first || textOf(t, filepath.Join(r.Dir, "app/compose.yaml")) != "one" {
		t.Errorf("the remote is %+v", r)
	}
	if target, err := os.Readlink(filepath.Join(r.Dir, "link")); target != "run.sh" {
		t.Errorf("the link leads to %q: %v", target, err)
	}
	if changes, err := s.Save(project, true); err != nil || len(changes) != 1 {
		t.Errorf("changes are %v, %v", changes, err)
	}
	second := u.commit(map[string]string{"app/compose.yaml": "two"})
	u.asked = 0
	for range 2 {
		if r, err = newStacks(t, cache).Fetch(t.Context(), u.url+"#main", project); err != nil || r.Digest != first {
			t.Errorf("it is %+v, %v", r, err)
		}
	}
	if u.asked != 0 {
		t.Errorf("the repository was asked %d times", u.asked)
	}
	// On another machine, whose cache is empty, by the commit.
	if r, err = newStacks(t, t.TempDir()).Fetch(t.Context(), u.url+"#main", project); err != nil || textOf(t, filepath.Join(r.Dir, "app/compose.yaml")) != "one" {
		t.Errorf("elsewhere it is %+v, %v", r, err)
	}
	s = newStacks(t, cache)
	s.Update = true
	if r, err = s.Fetch(t.Context(), u.url+"#main", project); err != nil || r.Digest != second {
		t.Errorf("updated it is %+v, %v", r, err)
	}
	if changes, err := s.Save(project, true); err != nil || len(changes) != 1 || !strings.Contains(changes[0], Short(first)+" -> "+Short(second)) {
		t.Errorf("changes are %v, %v", changes, err)
	}
	if want := lockHead + "version: 1\nremotes:\n  " + u.url + "#main: " + second + "\n"; textOf(t, filepath.Join(project, LockFile)) != want {
		t.Errorf("the lock is\n%s", textOf(t, filepath.Join(project, LockFile)))
	}
}

// TestNamesOfCommits: as git finds them, and no parts of names.
func TestNamesOfCommits(t *testing.T) {
	u, project := newUpstream(t), t.TempDir()
	first := u.commit(map[string]string{"a": "1"})
	u.git("tag", "-a", "-m", "x", "v1")
	u.git("branch", "feature/one")
	second := u.commit(map[string]string{"a": "2"})
	for ref, want := range map[string]string{
		"": second, "#main": second, "#v1": first, "#feature/one": first, "#" + first: first, "#refs/tags/v1": first, "?branch=main": second, "?tag=v1&subdir=x": first,
		"?commit=" + first: first, "#HEAD": second,
		"#one": "no branch or tag one", "#" + first[:8]: "of a commit, write all 40 digits", "#" + strings.Repeat("a", 40): "not in the repository any more",
		"#--upload-pack=touch /tmp/x": "not the name of a branch", "#--upload-pack=x": "not the name of a branch", "#a..b": "not the name", "#refs/heads/*": "not the name",
		"?submodules=true": "submodules",
	} {
		r, err := newStacks(t, t.TempDir()).Fetch(t.Context(), u.url+ref, project)
		switch {
		case err != nil && (len(want) == 40 || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", ref, err, want)
		case err == nil && r.Digest != want:
			t.Errorf("%s is %s, want %s", ref, r.Digest, want)
		}
	}
}

// TestAHostileRepository harms nobody.
//
// Risk include traversal: a reference of a remote stack is a flag of git's, names file:// or ext::, or is redirected there
// Held: refused before git runs, or by git, which fetches over https, http, ssh and git alone; no hook and no filter is run
// Risk legal input: a repository has a file of more than 256 MB, more than 20,000 files, or never answers
// Held: refused, and nothing of it is left
func TestAHostileRepository(t *testing.T) {
	u, project := newUpstream(t), t.TempDir()
	mark := filepath.Join(t.TempDir(), "mark")
	u.commit(map[string]string{"compose.yaml": "x", ".gitattributes": "* filter=evil\n"})
	home := t.TempDir()
	settings := "[filter \"evil\"]\n\tsmudge = touch " + mark + "\n\trequired = true\n[core]\n\thooksPath = " + home + "\n"
	for name, text := range map[string]string{".gitconfig": settings, "post-checkout": "#!/bin/sh\ntouch " + mark + "\n", "reference-transaction": "#!/bin/sh\ntouch " + mark + "\n"} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Config{Cache: t.TempDir(), Environ: append(os.Environ(), "HOME="+home, "GIT_CONFIG_GLOBAL="+home+"/.gitconfig")})
	if _, err := s.Fetch(t.Context(), u.url, project); err != nil {
		t.Error(err)
	}
	for name, served := range map[string]http.HandlerFunc{
		"file": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file://"+u.tree+"/.git/info/refs")
			w.WriteHeader(http.StatusFound)
		},
		"login": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
	} {
		server := httptest.NewServer(served)
		_, err := newStacks(t, t.TempDir()).Fetch(t.Context(), server.URL+"/r.git", project)
		if err == nil || !strings.Contains(err.Error(), "cannot fetch "+server.URL+"/r.git: ") {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(err)
		server.Close()
	}
	for _, reference := range []string{"file://" + u.tree + "/.git", "ext::touch " + mark, "ext://x", "-x://y", "https://evil.test/stack.yaml", "ssh://-oProxyCommand=touch " + mark + "/r.git"} {
		_, err := newStacks(t, t.TempDir()).Fetch(t.Context(), reference, project)
		if err == nil {
			t.Errorf("%s is fetched", reference)
		}
		t.Log(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program of the repository has run")
	}
}

// TestARepositoryIsBounded in its files, its size and its time.
func TestARepositoryIsBounded(t *testing.T) {
	u, cache := newUpstream(t), t.TempDir()
	noise := make([]byte, 3<<20)
	_, _ = rand.Read(noise)
	for name, content := range map[string][]byte{"zeros": make([]byte, 3<<20), "noise": noise} { // little to send, and much
		u.commit(map[string]string{"large": string(content)})
		s := newStacks(t, cache)
		s.most = 2 << 20
		if _, err := s.Fetch(t.Context(), u.url, t.TempDir()); err == nil || !strings.Contains(err.Error(), "larger than 2 MB") {
			t.Errorf("%s: said is %v", name, err)
		}
		mustBeEmpty(t, cache)
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancelCause(t.Context())
	s := newStacks(t, cache)
	s.Tell = func(string) { cancel(context.DeadlineExceeded) }
	if _, err := s.Fetch(ctx, server.URL+"/r.git", t.TempDir()); err == nil {
		t.Error("it is fetched")
	}
	mustBeEmpty(t, cache)
}

// mustBeEmpty checks that nothing was left of what could not be fetched.
func mustBeEmpty(t *testing.T, cache string) {
	t.Helper()
	_ = filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
		if err == nil && (!d.IsDir() && filepath.Base(filepath.Dir(path)) != "last" || strings.HasPrefix(d.Name(), temporaryPrefix)) {
			t.Errorf("%s is left", path)
		}
		return err
	})
}

// TestACommitThatIsGone is an error that says what to do; nothing is taken in its place.
func TestACommitThatIsGone(t *testing.T) {
	u, project := newUpstream(t), t.TempDir()
	u.commit(map[string]string{"a": "1"})
	s := newStacks(t, t.TempDir())
	if _, err := s.Fetch(t.Context(), u.url+"#main", project); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(project, true); err != nil {
		t.Fatal(err)
	}
	u.git("checkout", "-q", "--orphan", "other")
	u.git("branch", "-D", "main")
	u.git("checkout", "-q", "-b", "main")
	u.commit(map[string]string{"a": "2"})
	_, err := newStacks(t, t.TempDir()).Fetch(t.Context(), u.url+"#main", project)
	if err == nil || !strings.Contains(err.Error(), "not in the repository any more") || !strings.Contains(err.Error(), "--update-remotes") {
		t.Errorf("said is %v", err)
	}
}

// TestALoginIsNotShown: neither in what is said nor in the lock.
func TestALoginIsNotShown(t *testing.T) {
	u, project := newUpstream(t), t.TempDir()
	u.commit(map[string]string{"a": "1"})
	s := newStacks(t, t.TempDir())
	var told []string
	s.Tell = func(text string) { told = append(told, text) }
	if _, err := s.Fetch(t.Context(), strings.Replace(u.url, "://", "://user:geheim@", 1), project); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(project, true); err != nil {
		t.Fatal(err)
	}
	_, err := s.Fetch(t.Context(), "http://geheim@127.0.0.1:1/r.git", project)
	if all := textOf(t, filepath.Join(project, LockFile)) + strings.Join(told, "\n") + err.Error(); strings.Contains(all, "geheim") {
		t.Error(all)
	}
}

// TestWithoutGit the message says what is missing.
func TestWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := New(Config{Cache: t.TempDir()}).Fetch(t.Context(), "https://example.test/r.git", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "git is not installed") && !strings.Contains(err.Error(), "not found") {
		t.Errorf("said is %v", err)
	}
}
