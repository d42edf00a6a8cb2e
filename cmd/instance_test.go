package cmd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// sent is the project that an up of the line sends to the engine.
func (d *desk) sent(line string) *spec.Project {
	d.t.Helper()
	d.engine.apply = nil
	if _, stderr, code := d.run(line); code != 0 {
		d.t.Fatalf("%s: exit code %d: %s", line, code, stderr)
	}
	p, err := spec.ParseProject(d.engine.apply.Project)
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

func TestAnInstanceIsAProjectOfItsOwn(t *testing.T) {
	d := newDesk(t, shop).serve()
	if p := d.sent("up -d --instance feature-cart"); p.Name != "shop-feature-cart" || p.Instance != "feature-cart" {
		t.Errorf("--instance gives project %q, instance %q", p.Name, p.Instance)
	}
	if p := d.sent("--instance b -p mine up -d"); p.Name != "mine-b" {
		t.Errorf("with -p the project is %q", p.Name)
	}
	d.env = []string{"ORLOP_INSTANCE=ci7"}
	if p := d.sent("up -d"); p.Name != "shop-ci7" || p.Instance != "ci7" {
		t.Errorf("ORLOP_INSTANCE gives project %q, instance %q", p.Name, p.Instance)
	}
	if p := d.sent("up -d --instance other"); p.Name != "shop-other" {
		t.Errorf("the flag over the variable gives project %q", p.Name)
	}
	if _, _, code := d.run("stop"); code != 0 || d.engine.lifecycle[0].Project != "shop-ci7" {
		t.Errorf("stop is about %q", d.engine.lifecycle[0].Project)
	}
	for bad, hint := range map[string]string{
		"///": "one of the latter\n", "Feature/Cart": `: write "feature-cart"`, "Bad Name!": `: write "bad-name"`, "-a-": `: write "a"`,
		strings.Repeat("x", 50): `: write "` + strings.Repeat("x", 40) + `"`,
	} {
		if _, stderr, code := d.runArgs("up", "-d", "--instance", bad); code != 1 || !strings.Contains(stderr, "cannot name an instance: a name is up to 40 lower-case letters") || !strings.Contains(stderr, hint) {
			t.Errorf("an instance %q: exit code %d, %s", bad, code, stderr)
		}
	}
}

func TestAnInstanceNeedsNoStackFileWhereThereIsAName(t *testing.T) {
	d := newDesk(t, "").serve()
	if _, stderr, code := d.run("-p shop --instance a stop"); code != 0 || d.engine.lifecycle[0].Project != "shop-a" {
		t.Errorf("exit code %d: %s, project %v", code, stderr, d.engine.lifecycle)
	}
}

func TestAutoFollowsWorkTreeAndBranch(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.env = []string{"ORLOP_INSTANCE=auto"}
	if _, stderr, code := d.run("up -d"); code != 1 || !strings.Contains(stderr, "is in no git work tree; name the instance with --instance") {
		t.Errorf("outside of git: exit code %d: %s", code, stderr)
	}
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(d.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what, pattern string) string {
		t.Helper()
		p := d.sent("up -d")
		if !regexp.MustCompile("^" + pattern + "-[0-9a-f]{6}$").MatchString(p.Instance) {
			t.Errorf("%s gives instance %q, want %s", what, p.Instance, pattern)
		}
		return p.Instance
	}
	write(".git/HEAD", "ref: refs/heads/feat/Cart.v2\n")
	first := expect("a branch", "feat-cart-v2")
	write(".git/HEAD", "0123456789abcdef0123456789abcdef01234567\n")
	expect("a commit", "01234567")
	write(".git/HEAD", "ref: refs/heads/"+strings.Repeat("long-", 30)+"\n")
	expect("a long branch", "(long-)*long")

	write("meta/HEAD", "ref: refs/heads/feat/Cart.v2\n")
	write("sub/.git", "gitdir: ../meta\n")
	write("sub/stack.yaml", shop)
	d.dir = filepath.Join(d.dir, "sub")
	if second := expect("a work tree with a .git file", "feat-cart-v2"); second == first {
		t.Errorf("two trees on one branch are both %q", first)
	}
}
