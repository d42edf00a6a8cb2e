package builder

import (
	"context"
	"encoding/gob"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// tree writes files; a name that ends with / is a directory, a text that
// starts with -> a link.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	write(t, dir, files)
	return dir
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch to, isLink := strings.CutPrefix(text, "->"); {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case isLink:
			err = os.Symlink(to, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func project(b *spec.Build) *spec.Project {
	return &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": {Name: "web", Build: b}}}
}

func fingerprint(t testing.TB, b *spec.Build, opts Options) *planner.Inputs {
	t.Helper()
	in, err := Inputs(context.Background(), project(b), []string{"web"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return in["web"]
}

// files are the names that take part, directories left out.
func files(in *planner.Inputs) []string {
	var names []string
	for name, sum := range in.Files {
		if !strings.HasPrefix(sum, "dir ") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestWhichFilesTakePart(t *testing.T) {
	base := map[string]string{
		"Dockerfile": "FROM a", "main.go": "1", "a/one.go": "1", "a/two.txt": "2", "a/deep/three.go": "3", "vendor/x/x.go": "x", ".git/HEAD": "ref",
	}
	for name, test := range map[string]struct {
		ignore map[string]string
		build  spec.Build
		want   string
	}{
		"none":            {want: ".git/HEAD Dockerfile a/deep/three.go a/one.go a/two.txt main.go vendor/x/x.go"},
		"a directory":     {ignore: map[string]string{".dockerignore": ".git\nvendor/\n.dockerignore\n"}, want: "Dockerfile a/deep/three.go a/one.go a/two.txt main.go"},
		"all but one":     {ignore: map[string]string{".dockerignore": "*\n!a\n"}, want: "a/deep/three.go a/one.go a/two.txt"},
		"all but a file":  {ignore: map[string]string{".dockerignore": "*\n!a/deep/three.go\n"}, want: "a/deep/three.go"},
		"back out again":  {ignore: map[string]string{".dockerignore": "*\n!a\na/deep\n"}, want: "a/one.go a/two.txt"},
		"by ending":       {ignore: map[string]string{".dockerignore": "**/*.go\n.*\n"}, want: "Dockerfile a/two.txt"},
		"comment":         {ignore: map[string]string{".dockerignore": "# main.go\n\n  .git  \n.dockerignore\nvendor\na\n"}, want: "Dockerfile main.go"},
		"rooted":          {ignore: map[string]string{".dockerignore": "/a\n/vendor\n.git\n.dockerignore"}, want: "Dockerfile main.go"},
		"of a Dockerfile": {ignore: map[string]string{".dockerignore": "*\n", "Dockerfile.dockerignore": "*\n!main.go\n"}, want: "main.go"},
		"of another one":  {ignore: map[string]string{"x/prod": "FROM a", "x/prod.dockerignore": "*\n!a/one.go"}, build: spec.Build{Dockerfile: "x/prod"}, want: "a/one.go"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, base)
			write(t, dir, test.ignore)
			b := test.build
			b.Context = dir
			if got := strings.Join(files(fingerprint(t, &b, Options{})), " "); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestWhatChangesAFingerprint changes one thing and looks at what tells it.
func TestWhatChangesAFingerprint(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		change func(t *testing.T, dir string, b *spec.Build, o *Options)
		want   string // names of the files and other inputs that differ; "" if it stays
	}{
		"nothing": {func(*testing.T, string, *spec.Build, *Options) {}, ""},
		"touch": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			must(t, os.Chtimes(filepath.Join(dir, "main.go"), time.Unix(1, 0), time.Unix(1, 0)))
		}, ""},
		"content": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, dir, map[string]string{"main.go": "2"})
		}, "main.go"},
		"mode": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			must(t, os.Chmod(filepath.Join(dir, "main.go"), 0o755))
		}, "main.go"},
		"setuid": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			must(t, os.Chmod(filepath.Join(dir, "main.go"), 0o644|os.ModeSetuid))
		}, "main.go"},
		"new file": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, dir, map[string]string{"sub/new.go": "2"})
		}, "sub sub/new.go"},
		"gone": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			must(t, os.Remove(filepath.Join(dir, "lib/a.go")))
		}, "lib/a.go"},
		"empty directory": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, dir, map[string]string{"data/": ""})
		}, "data"},
		"link": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			must(t, os.Remove(filepath.Join(dir, "link")))
			must(t, os.Symlink("lib", filepath.Join(dir, "link")))
		}, "link"},
		"ignored file": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, dir, map[string]string{"skip/x": "2"})
		}, ""},
		"what a link leads to outside": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, filepath.Dir(dir), map[string]string{"outside": "2"})
		}, ""},
		"Dockerfile": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, dir, map[string]string{"Dockerfile": "FROM b"})
		}, "Dockerfile dockerfile"},
		"inline":        {func(_ *testing.T, _ string, b *spec.Build, _ *Options) { b.DockerfileInline = "FROM c" }, "dockerfile"},
		"target":        {func(_ *testing.T, _ string, b *spec.Build, _ *Options) { b.Target = "test" }, "target"},
		"argument":      {func(_ *testing.T, _ string, b *spec.Build, _ *Options) { b.Args = map[string]*string{"V": text("2")} }, "args.V"},
		"argument gone": {func(_ *testing.T, _ string, b *spec.Build, _ *Options) { b.Args = nil }, "args.V"},
		"argument of the command": {func(_ *testing.T, _ string, _ *spec.Build, o *Options) {
			o.Args = map[string]string{"V": "3"}
		}, ""},
		"label": {func(_ *testing.T, _ string, b *spec.Build, _ *Options) { b.Labels = map[string]string{"a": "b"} }, "labels.a"},
		"secret": {func(_ *testing.T, _ string, b *spec.Build, _ *Options) {
			b.Secrets = []spec.FileMount{{Source: "key", Target: "token"}}
		}, "secrets.key"},
		"named context": {func(t *testing.T, dir string, _ *spec.Build, _ *Options) {
			write(t, filepath.Dir(dir), map[string]string{"extra/f": "2"})
		}, "more:f"},
		"other named context": {func(_ *testing.T, _ string, b *spec.Build, _ *Options) {
			b.AdditionalContexts = map[string]string{"more": b.AdditionalContexts["more"], "base": "docker-image://a:2"}
		}, "additional_contexts.base"},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, map[string]string{
				"app/Dockerfile": "FROM a", "app/main.go": "1", "app/lib/a.go": "1", "app/link": "->main.go", "app/out": "->../outside",
				"app/.dockerignore": "skip\n.dockerignore\n", "app/skip/x": "1", "outside": "1", "extra/f": "1",
			})
			dir := filepath.Join(root, "app")
			b := &spec.Build{Context: dir, Args: map[string]*string{"V": text("1")}, AdditionalContexts: map[string]string{"more": filepath.Join(root, "extra")}}
			before := fingerprint(t, b, Options{})
			changed := *b
			var opts Options
			test.change(t, dir, &changed, &opts)
			after := fingerprint(t, &changed, opts)
			got := strings.Join(append(differ(before.Files, after.Files), differ(before.Other, after.Other)...), " ")
			if got != test.want {
				t.Errorf("%q differs, want %q", got, test.want)
			}
			if (before.Sum == after.Sum) != (test.want == "") {
				t.Errorf("the sums are %s and %s", before.Sum, after.Sum)
			}
		})
	}
}

// TestArgumentsOfTheCommandAreApart: they are no part of the sum, so that what
// was built with them stands; those that the stack file says too are none.
func TestArgumentsOfTheCommandAreApart(t *testing.T) {
	text := "1"
	dir := tree(t, map[string]string{"Dockerfile": "ARG V\nARG BASE=a\nFROM $BASE"})
	b := &spec.Build{Context: dir, Args: map[string]*string{"V": &text}}
	plain := fingerprint(t, b, Options{})
	given := fingerprint(t, b, Options{Args: map[string]string{"V": "1", "BASE": "b", "W": "x"}})
	if plain.Sum != given.Sum || len(plain.Given) != 0 {
		t.Errorf("sums %s and %s, given %v", plain.Sum, given.Sum, plain.Given)
	}
	if got := slices.Sorted(maps.Keys(given.Given)); !slices.Equal(got, []string{"BASE", "W"}) {
		t.Errorf("given are %q", got)
	}
	if got := slices.Sorted(maps.Keys(given.Bases)); !slices.Equal(got, []string{"b"}) {
		t.Errorf("it starts from %q", got)
	}
}

func differ(a, b map[string]string) []string {
	var names []string
	both := maps.Clone(a)
	maps.Copy(both, b)
	for _, k := range slices.Sorted(maps.Keys(both)) {
		if a[k] != b[k] {
			names = append(names, k)
		}
	}
	return names
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestContextThatIsALink(t *testing.T) {
	root := tree(t, map[string]string{"real/Dockerfile": "FROM a", "real/main.go": "1", "link": "->real"})
	in := fingerprint(t, &spec.Build{Context: filepath.Join(root, "link")}, Options{})
	if got := files(in); !slices.Equal(got, []string{"Dockerfile", "main.go"}) {
		t.Errorf("the files are %v", got)
	}
}

func TestSpecialFilesTakeNoPart(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM a", "loop": "->loop"})
	ln, err := listenUnix(filepath.Join(dir, "socket"))
	must(t, err)
	defer ln.Close()
	if got := files(fingerprint(t, &spec.Build{Context: dir}, Options{})); !slices.Equal(got, []string{"Dockerfile", "loop"}) {
		t.Errorf("the files are %v", got)
	}
}

func TestInputsSayWhatCanNotBeRead(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM a", ".dockerignore": "[\n", "x": "1"})
	for name, test := range map[string]struct {
		build spec.Build
		want  string
	}{
		"no context":    {spec.Build{Context: dir + "/none", DockerfileInline: "FROM a"}, "services.web.build.context: cannot read"},
		"no Dockerfile": {spec.Build{Context: dir, Dockerfile: "Other"}, "Other: there is Dockerfile: name it with dockerfile, or rename it"},
		"bad pattern":   {spec.Build{Context: dir}, "services.web.build.context: "},
		"named context": {spec.Build{Context: "https://example.com/a.git", AdditionalContexts: map[string]string{"more": dir + "/none"}}, ""},
	} {
		in, err := Inputs(context.Background(), project(&test.build), []string{"web"}, Options{})
		if test.want == "" {
			if err != nil || in["web"] != nil {
				t.Errorf("%s: a remote context has a fingerprint: %v, %v", name, in, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("needs a user that is not root: root reads everything")
	}
	dir := tree(t, map[string]string{"Dockerfile": "FROM a", "private/key": "1", "data": "1"})
	must(t, os.Chmod(filepath.Join(dir, "private"), 0))
	must(t, os.Chmod(filepath.Join(dir, "data"), 0))
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "private"), 0o755) })
	for ignore, want := range map[string]string{
		"":                                "leave it out with .dockerignore",
		"private\n":                       "data: permission denied",
		"private\ndata\n":                 "",
		"*\n!Dockerfile\n":                "",
		"private\ndata\n!private/other\n": "",
	} {
		write(t, dir, map[string]string{".dockerignore": ignore})
		_, err := Inputs(context.Background(), project(&spec.Build{Context: dir}), []string{"web"}, Options{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", ignore, err, want)
		}
	}
}

func TestInputsStopWhenAsked(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM a"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Inputs(ctx, project(&spec.Build{Context: dir}), []string{"web"}, Options{}); err == nil {
		t.Error("a cancelled command goes on reading")
	}
}

// TestContextsThatMayBeOthersTomorrow looks at what a fingerprint says of
// additional contexts that are no directories.
func TestContextsThatMayBeOthersTomorrow(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM a\nCOPY --from=extra / /", "x/f": "1"})
	for from, want := range map[string]struct {
		floating bool
		bases    string
	}{
		filepath.Join(dir, "x"):                   {false, "a"},
		"service:base":                            {false, "a"},
		"docker-image://alpine:3":                 {false, "a alpine:3"},
		"https://example.test/x/y.git#main":       {true, "a"},
		"git@example.test:x/y.git":                {true, "a"},
		"https://example.test/archive/latest.tgz": {true, "a"},
	} {
		in := fingerprint(t, &spec.Build{Context: dir, AdditionalContexts: map[string]string{"extra": from}}, Options{})
		if got := strings.Join(slices.Sorted(maps.Keys(in.Bases)), " "); got != want.bases || in.Floating != want.floating {
			t.Errorf("%s: bases %q and floating %t, want %q and %t", from, got, in.Floating, want.bases, want.floating)
		}
	}
}

func TestBases(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		file  string
		build spec.Build
		opts  Options
		want  string
	}{
		"plain":             {file: "FROM golang:1.26", want: "golang:1.26"},
		"stages":            {file: "FROM golang:1 AS Build\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=0 /b /b\nCOPY --from=busybox:1 /c /c", want: "busybox:1 golang:1"},
		"stage on stage":    {file: "FROM a AS one\nFROM One AS two\nFROM two", want: "a"},
		"platform":          {file: "FROM --platform=linux/amd64 alpine AS x", want: "alpine"},
		"argument":          {file: "ARG V=1.26\nARG BASE=\"golang\"\nFROM $BASE:${V}", want: "golang:1.26"},
		"given argument":    {file: "ARG V=1\nFROM go:$V", build: spec.Build{Args: map[string]*string{"V": text("2")}}, want: "go:2"},
		"command's":         {file: "ARG V=1\nFROM go:$V", build: spec.Build{Args: map[string]*string{"V": text("2")}}, opts: Options{Args: map[string]string{"V": "3"}}, want: "go:3"},
		"default":           {file: "ARG V\nFROM go:${V:-7}-slim", want: "go:7-slim"},
		"alternative":       {file: "ARG V=1\nFROM go:${V:+8}", want: "go:8"},
		"late argument":     {file: "FROM a\nARG V=1\nFROM b:1", want: "a b:1"},
		"what is not known": {file: "ARG V\nFROM go:${V:?must be set}", want: "not whole"},
		"named context":     {file: "FROM base\nCOPY --from=assets / /", build: spec.Build{AdditionalContexts: map[string]string{"base": "/x", "assets": "/y"}}, want: ""},
		"continued":         {file: "FROM \\\n  golang:1 \\\n  AS b\nRUN echo \\\n FROM x", want: "golang:1"},
		"escaped otherwise": {file: "# escape=`\nFROM `\n golang:1", want: "golang:1"},
		"text in a file":    {file: "FROM a\nCOPY <<EOF /x\nFROM b\nEOF", want: "a"},
		"of the platform":   {file: "FROM a:$TARGETARCH", want: "a:" + runtime.GOARCH},
		"mounts":            {file: "FROM a AS one\nFROM a\nRUN --mount=type=bind,from=tools:1,target=/t --mount=type=cache,target=/c --mount=from=one,target=/o true", want: "a a tools:1"},
		"mount of variable": {file: "FROM a\nARG T=b\nRUN --mount=from=$T,target=/t true", want: "not whole"},
		"of the network":    {file: "FROM a\nADD https://example.test/x /x", want: "not whole"},
		"by its sum":        {file: "FROM a\nADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d https://example.test/x /x", want: "a"},
		"git":               {file: "FROM a\nADD git@example.test:x/y.git /x", want: "not whole"},
		"no Dockerfile":     {file: "FORM a", want: "not whole"},
		"lower case":        {file: "from a as b\nfrom a\ncopy --from=b / /", want: "a a"},
	} {
		refs, whole := bases([]byte(test.file), &test.build, test.opts)
		slices.Sort(refs)
		got := strings.Join(refs, " ")
		if !whole {
			got = "not whole"
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestSumsAreRemembered: a large file that has been still for a while is not
// read again, one that changed just now is, and damage costs time only.
func TestSumsAreRemembered(t *testing.T) {
	big := strings.Repeat("x", rememberFrom)
	dir := tree(t, map[string]string{"big": big, "small": "1"})
	path := filepath.Join(dir, "big")
	sum := func(s *sums, name string) string {
		t.Helper()
		info, err := os.Lstat(filepath.Join(dir, name))
		must(t, err)
		got, err := s.content(t.Context(), filepath.Join(dir, name), info)
		must(t, err)
		return got
	}
	fresh := newSums(newReading(nil))
	first := sum(fresh, "big")
	if len(fresh.next) != 0 {
		t.Error("a file that changed within the clock's grain is remembered")
	}
	later := newSums(newReading(nil))
	later.now = time.Now().Add(time.Hour)
	sum(later, "big")
	sum(later, "small")
	if len(later.next) != 1 {
		t.Errorf("remembered are %v", later.next)
	}
	later.save()

	again := newSums(newReading(nil))
	again.now = later.now
	is := again.known[path]
	if is.Sum != first {
		t.Fatalf("%q was kept, want %q", is.Sum, first)
	}
	is.Sum = "kept"
	again.known[path] = is
	if got := sum(again, "big"); got != "kept" {
		t.Error("the file is read again")
	}
	write(t, dir, map[string]string{"big": big[1:] + "y"})
	if got := sum(again, "big"); got == "kept" || got == first {
		t.Errorf("the file changed, but its sum is %q", got)
	}
	must(t, os.WriteFile(again.path, []byte("no gob"), 0o600))
	if got := newSums(newReading(nil)); len(got.known) != 0 {
		t.Error("something was read from a damaged file")
	}
	f, err := os.Create(again.path)
	must(t, err)
	must(t, gob.NewEncoder(f).Encode(map[string]string{"other": "type"}))
	must(t, f.Close())
	if got := sum(newSums(newReading(nil)), "big"); got == "" {
		t.Error("no sum")
	}
}

func BenchmarkInputs(b *testing.B) {
	names := map[string]string{"Dockerfile": "FROM a", ".dockerignore": "*.log\nnode_modules\n"}
	for i := range 10_000 {
		names[fmt.Sprintf("d%d/e%d/f%d.go", i%10, i%100, i)] = strings.Repeat("x", 1000)
	}
	dir := tree(b, names)
	build := &spec.Build{Context: dir}
	for b.Loop() {
		if in := fingerprint(b, build, Options{}); len(in.Files) < 10_000 {
			b.Fatal(len(in.Files))
		}
	}
}
