package consent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

// shelf has remote stacks by reference.
type shelf map[string]*spec.Remote

func (s shelf) Fetch(_ context.Context, reference, _ string) (*spec.Remote, error) {
	return s[reference], nil
}

func (s shelf) put(t *testing.T, reference, name, digest, text string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "compose.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s[reference] = &spec.Remote{Name: name, Digest: digest, Dir: dir}
}

func load(t *testing.T, s shelf, text string) *spec.Project {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, diagnostics, err := stackfile.Load(t.Context(), stackfile.Options{Dir: dir, Name: "p", Remotes: s})
	if err != nil {
		t.Fatal(err, diagnostics)
	}
	return p
}

// TestAYesCoversNoOtherCode than what says a part of the same service.
//
// Risk remote include: a remote stack extends or overrides the privileged service of one that was allowed, and has it run something else
// Held: the yes is for the digests of all remote stacks that say a part of the service
func TestAYesCoversNoOtherCode(t *testing.T) {
	ledger := LedgerIn(map[string]string{"HOME": t.TempDir()})
	s := shelf{}
	s.put(t, "oci://r/a:1", "oci://r/a:1", "A", "services: {web: {image: good, privileged: true, volumes: ['/:/host', 'all:/all']}}\nvolumes: {all: {driver_opts: {type: none, o: bind, device: /}}}\n")
	s.put(t, "oci://r/plain:1", "oci://r/plain:1", "P", "services: {plain: {image: x}}\n")
	s.put(t, "oci://evil/b:1", "oci://evil/b:1", "B", "services: {web: {extends: {file: 'oci://r/a:1', service: web}, image: evil, command: [rm, -rf, /host]}}\nvolumes: {all: {}}\n")
	s.put(t, "oci://evil/c:1", "oci://evil/c:1", "C", "include: ['oci://r/a:1']\nservices: {web: {image: evil, command: [rm, -rf, /host]}}\n")
	s.put(t, "oci://evil/d:1", "oci://evil/d:1", "D", "include: ['oci://r/a:1']\nservices: {other: {image: evil, volumes: ['all:/all']}}\n")
	for _, c := range []struct {
		text  string
		fresh []string
	}{
		{"include: ['oci://r/a:1']\n", []string{"services.web.privileged", "services.web.volumes[0]", "volumes.all.driver_opts"}},
		{"include: ['oci://r/a:1']\n", nil},
		{"include: ['oci://r/a:1', 'oci://r/plain:1']\nservices: {web: {image: mine}}\n", nil},
		{"include: ['oci://evil/b:1']\n", []string{"services.web.privileged", "services.web.volumes[0]"}},
		{"include: ['oci://evil/c:1']\n", []string{"services.web.privileged", "services.web.volumes[0]", "volumes.all.driver_opts"}},
		{"include: ['oci://evil/d:1']\n", []string{"volumes.all.driver_opts"}},
	} {
		fresh := ledger.New(Wishes(load(t, s, c.text)))
		if got := pathsOf(fresh); !slices.Equal(got, c.fresh) {
			t.Errorf("%s: asked is for %v, want %v", c.text, got, c.fresh)
		}
		if err := ledger.Keep(fresh); err != nil {
			t.Fatal(err)
		}
	}
}

func pathsOf(wishes []Wish) []string {
	var paths []string
	for _, w := range wishes {
		for _, r := range w.Requests {
			if !strings.HasPrefix(r.Path, "in ") { // of a file that includes
				paths = append(paths, r.Path)
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths) // a path may be asked for in two ways
}

// TestValuesForAServiceOfTheUsersAreAsked of the user: who says its command runs with what the
// user's own file gives it.
//
// Risk remote include: a remote stack says the command of a service that the user's own file makes privileged, or mounts a volume of the user's
// Held: it is a wish of that remote stack, which names the service and what the own file gives it
func TestValuesForAServiceOfTheUsersAreAsked(t *testing.T) {
	s := shelf{}
	s.put(t, "oci://evil/b:1", "oci://evil/b:1", "E", "services: {admin: {image: h, command: [sh], environment: {LD_PRELOAD: /x}}, helper: {image: h}, web: {image: w}}\n")
	s.put(t, "oci://evil/v:1", "oci://evil/v:1", "V", "services: {thief: {image: h, volumes: ['host:/h']}}\nvolumes: {host: {}}\n")
	for text, want := range map[string]string{
		"include: ['oci://evil/b:1']\nservices: {admin: {image: good, privileged: true, volumes: ['/:/host']}}\n":                      "remote_values services.admin privileged engine_socket host_mount",
		"include: ['oci://evil/b:1']\nservices: {other: {image: good, privileged: true}, web: {ports: ['80']}}\n":                      "",
		"include: ['oci://evil/v:1']\nservices: {own: {image: x}}\nvolumes: {host: {driver_opts: {type: none, o: bind, device: /}}}\n": "remote_values volumes.host engine_socket host_mount",
	} {
		var got string
		for _, w := range Wishes(load(t, s, text)) {
			for _, r := range w.Requests {
				got += string(r.Kind) + " " + r.Path + " " + r.Value
				if r.Place.File == "" || r.Text == "" {
					t.Errorf("it has no place, or no words: %+v", r)
				}
			}
		}
		if got != want {
			t.Errorf("%s: asked is for %q, want %q", text, got, want)
		}
	}
	ledger := LedgerIn(nil)
	p := load(t, s, "include: ['oci://evil/b:1']\nservices: {admin: {image: good, privileged: true}}\n")
	if text := Wishes(p)[0].String(); !strings.Contains(text, "with values of this remote stack: command, environment") {
		t.Errorf("it says %s", text)
	}
	if ledger.Refuses(p, "admin") == nil || ledger.Refuses(p, "helper") != nil {
		t.Error("what is refused is not the service that is asked about")
	}
}

// TestOneNameForTwoDigestsIsAskedAbout with each that it stands for.
func TestOneNameForTwoDigestsIsAskedAbout(t *testing.T) {
	ledger := LedgerIn(nil)
	for _, b := range []string{"good", "evil"} {
		s := shelf{}
		s.put(t, "oci://r/one:1", "oci://r/x:1", "A", "services: {a: {image: a}}\n")
		s.put(t, "oci://r/two:1", "oci://r/x:1", "B"+b, "services: {b: {image: "+b+", privileged: true}}\n")
		wishes := Wishes(load(t, s, "include: ['oci://r/one:1', 'oci://r/two:1']\n"))
		if len(ledger.New(wishes)) != 1 {
			t.Errorf("%s is not asked about", b)
		}
		if err := ledger.Keep(wishes); err != nil {
			t.Fatal(err)
		}
	}
}
