// Package consent knows what the user has said yes to: what remote stacks ask of
// the machine beyond what every container gets. A yes is the user's own: it is kept
// in the user's directory, and not in orlop.lock, by which others would say it. It
// asks nobody itself.
package consent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
	"github.com/orlop/orlop/spec/userfile"
)

// Wish is what one remote stack asks for.
type Wish struct {
	Remote   *spec.Remote
	Requests []privilege.Request
	keys     []string // of the requests, see keyOf
}

// Wishes are what the remote stacks of a project ask for; own are the engine's
// directories. What the user's own files say is the user's own wish.
func Wishes(p *spec.Project, own ...string) []Wish {
	var all []Wish
	if len(p.Remotes) == 0 {
		return nil
	}
	found := requests(p, own)
	parties := partiesOf(p)
	for _, r := range p.Remotes {
		w := Wish{Remote: r}
		for _, request := range found {
			if request.Remote == r.Name {
				w.Requests = append(w.Requests, request)
				w.keys = append(w.keys, keyOf(request, digests(p, append(parties.of(request.Path), r.Name))))
			}
		}
		isTold := slices.ContainsFunc(all, func(w Wish) bool { return w.Remote.Name == r.Name })
		if len(w.Requests) > 0 && !isTold {
			all = append(all, w)
		}
	}
	return all
}

// digests are the remote stacks of these names with what each is, once each.
func digests(p *spec.Project, names []string) []string {
	var all []string
	for _, r := range p.Remotes {
		if slices.Contains(names, r.Name) {
			all = append(all, fmt.Sprintf("%q %q", r.Name, r.Digest))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// CallerVariable is a kind of request that no engine hears of: a remote stack is told the
// value of a variable of the caller's, which may be a secret, and may send it on.
const CallerVariable privilege.Kind = "caller_variable"

// requests are what a project asks for, of the machine and of the caller.
func requests(p *spec.Project, own []string) []privilege.Request {
	all := privilege.Of(p, p.WorkingDir, own...)
	if len(p.Remotes) > 0 {
		all = append(all, partiesOf(p).values(all)...)
	}
	isTold := map[string]bool{}
	for _, r := range p.Remotes { // one may be named with several paths
		for _, name := range slices.Sorted(maps.Keys(r.Variables)) {
			if !isTold[r.Name+"\n"+name] {
				all = append(all, privilege.Request{Kind: CallerVariable, Path: r.Name, Value: name, Text: "is told the value of this variable of yours", Place: r.Variables[name], Remote: r.Name})
			}
			isTold[r.Name+"\n"+name] = true
		}
	}
	return all
}

// String lists what is asked for.
func (w Wish) String() string {
	digest := strings.TrimPrefix(w.Remote.Digest, "sha256:")
	return fmt.Sprintf("%s (%s) asks for more than every container gets:\n%s", inert(w.Remote.Name), inert(digest[:min(len(digest), 12)]), table("   ", w.Requests))
}

// keyOf is what a yes is for: what is asked for, which variables of the user's may
// change, and the content of all that says a part of the same service. Each request has
// its own: of a part of a stack nothing is asked anew.
func keyOf(r privilege.Request, with []string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n%s", r.Kind, r.Path, r.Value, strings.Join(with, "\n"))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Ledger knows what the user has said yes to: now, and before.
type Ledger struct {
	path string // of the file that keeps it; "": none does
	now  []string
}

// mostKept is how many yeses are kept.
const mostKept = 10_000

// LedgerIn is the ledger in the user's directory for state, by the environment.
func LedgerIn(env map[string]string) *Ledger {
	dir := env["XDG_STATE_HOME"]
	if home := env["HOME"]; !filepath.IsAbs(dir) && filepath.IsAbs(home) {
		dir = filepath.Join(home, ".local", "state")
	}
	if !filepath.IsAbs(dir) {
		return &Ledger{}
	}
	return &Ledger{path: filepath.Join(dir, "orlop", "allowed")}
}

// New are those wishes that the user has not said yes to, each with what is new of it.
func (l *Ledger) New(wishes []Wish) []Wish {
	known := append(l.read(), l.now...)
	var all []Wish
	for _, w := range wishes {
		fresh := Wish{Remote: w.Remote}
		for i, key := range w.keys {
			if !slices.Contains(known, key) {
				fresh.Requests, fresh.keys = append(fresh.Requests, w.Requests[i]), append(fresh.keys, key)
			}
		}
		if len(fresh.keys) > 0 {
			all = append(all, fresh)
		}
	}
	return all
}

// Refuses is the remote stack that says a part of a service, and asks for something with
// it that the user has not said yes to; nil: there is none.
func (l *Ledger) Refuses(p *spec.Project, service string, own ...string) *spec.Remote {
	parties := partiesOf(p)
	names := parties.of("services." + service)
	for _, w := range l.New(Wishes(p, own...)) {
		for _, r := range w.Requests {
			if parties.unitOf(r.Path) == "services."+service || r.Kind == CallerVariable && slices.Contains(names, r.Remote) {
				return w.Remote
			}
		}
	}
	return nil
}

func (l *Ledger) read() []string {
	text, _ := userfile.Read(l.path) // none, or none that can be read: it is asked again
	return strings.Fields(string(text))
}

// Allow has these wishes be none that are new, for as long as the ledger is used.
func (l *Ledger) Allow(wishes []Wish) {
	for _, w := range wishes {
		l.now = append(l.now, w.keys...)
	}
}

// Keep keeps that the user has said yes.
func (l *Ledger) Keep(wishes []Wish) error {
	known := l.read()
	l.Allow(wishes)
	for _, w := range wishes {
		for _, key := range w.keys {
			if !slices.Contains(known, key) {
				known = append(known, key)
			}
		}
	}
	if l.path == "" {
		return nil
	}
	known = known[max(0, len(known)-mostKept):]
	if err := os.MkdirAll(filepath.Dir(l.path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(l.path), ".allowed-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it was not renamed
	if _, err := f.WriteString(strings.Join(known, "\n") + "\n"); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), l.path)
}
