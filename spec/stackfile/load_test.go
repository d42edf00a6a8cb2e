package stackfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata and docs")

// script is one file of testdata/load: lines of options, the input files, and
// what must come of them in want.yaml (the canonical project) or want.txt
// (the diagnostics as shown).
type script struct {
	opts    Options
	archive *txtar.Archive
	differs string // why the reference loader says something else
}

func readScript(t *testing.T, path, dir string) *script {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{archive: txtar.Parse(data)}
	s.opts = Options{Dir: dir, Environ: map[string]string{"HOME": "/home/me"}}
	for line := range strings.Lines(string(s.archive.Comment)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch word {
		case "files":
			s.opts.Files = strings.Fields(rest)
		case "profiles":
			s.opts.Profiles = strings.Fields(rest)
		case "services":
			s.opts.Services = strings.Fields(rest)
		case "env-files":
			s.opts.EnvFiles = strings.Fields(rest)
		case "dir":
			s.opts.Dir = filepath.Join(dir, rest)
		case "name":
			s.opts.Name = rest
		case "env":
			name, value, _ := strings.Cut(rest, "=")
			s.opts.Environ[name] = value
		case "project-directory":
			s.opts.ProjectDirectory = rest
		case "differs":
			s.differs = rest
		case "strict":
			s.opts.Strict = true
		case "only":
			s.opts.Only = true
		case "no-deps":
			s.opts.NoDeps = true
		case "images-only":
			s.opts.ImagesOnly = true
		case "spare-contents":
			s.opts.SpareContents = true
		case "allow-unset":
			s.opts.AllowUnset = true
		case "":
		default:
			if !strings.HasPrefix(line, "#") {
				t.Fatalf("%s: unknown line %q", path, line)
			}
		}
	}
	for _, f := range s.archive.Files {
		if strings.HasPrefix(f.Name, "want.") {
			continue
		}
		at := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *script) want(name string) (string, bool) {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

// set changes an expectation; "" removes it.
func (s *script) set(name, content string) {
	var files []txtar.File
	for _, f := range s.archive.Files {
		if f.Name != name {
			files = append(files, f)
		}
	}
	if content != "" {
		files = append(files, txtar.File{Name: name, Data: []byte(content)})
	}
	s.archive.Files = files
}

func scripts(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts in testdata/load: %v", err)
	}
	return paths
}

func TestLoadGivesTheCanonicalProjectOrTheDiagnostics(t *testing.T) {
	for _, path := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "demo")
			s := readScript(t, path, dir)
			project, diagnostics, err := Load(context.Background(), s.opts)
			var shown bytes.Buffer
			if err := diagnostics.Render(&shown, false); err != nil {
				t.Fatal(err)
			}
			var mistakes *spec.Mistakes
			if err != nil && !errors.As(err, &mistakes) {
				fmt.Fprintln(&shown, "error: "+err.Error())
			}
			var canonical []byte
			if project != nil {
				if canonical, err = project.YAML(); err != nil {
					t.Fatal(err)
				}
			}
			stable := strings.NewReplacer(dir, "/DIR", filepath.Dir(dir), "/DIR/..").Replace
			s.compare(t, path, "want.yaml", stable(string(canonical)))
			s.compare(t, path, "want.txt", stable(shown.String()))
		})
	}
}

func (s *script) compare(t *testing.T, path, name, got string) {
	t.Helper()
	want, _ := s.want(name)
	if got == want {
		return
	}
	if *update {
		s.set(name, got)
		if err := os.WriteFile(path, txtar.Format(s.archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
}

// TestDump gives the reference module (spec/reference) what this loader makes
// of the corpus and the scripts: a directory with a case each.
func TestDump(t *testing.T) {
	out := os.Getenv("ORLOP_SPEC_DUMP")
	if out == "" {
		t.Skip("needs ORLOP_SPEC_DUMP: it is run by the tests of spec/reference")
	}
	corpus, err := filepath.Glob("testdata/corpus/*.y*ml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range corpus {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		dir := filepath.Join(out, "corpus-"+name, "demo")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "compose.yaml"), string(data))
		dump(t, Options{Dir: dir, Files: []string{"compose.yaml"}, SkipPayloads: true}, "")
	}
	for _, path := range scripts(t) {
		dir := filepath.Join(out, strings.TrimSuffix(filepath.Base(path), ".txtar"), "demo")
		s := readScript(t, path, dir)
		if _, ok := s.want("want.yaml"); ok {
			dump(t, s.opts, s.differs)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func dump(t *testing.T, opts Options, differs string) {
	t.Helper()
	project, _, err := Load(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := project.JSON()
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Dir(opts.Dir)
	for filepath.Base(base) == "demo" || strings.Contains(base, "/demo/") {
		base = filepath.Dir(base)
	}
	write(t, filepath.Join(base, "ours.json"), string(canonical))
	if canonical, err = project.YAML(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(base, "ours.yaml"), string(canonical))
	var environ, files strings.Builder
	for _, name := range slices.Sorted(maps.Keys(opts.Environ)) {
		fmt.Fprintf(&environ, "%s=%s\n", name, opts.Environ[name])
	}
	for _, f := range project.Files {
		fmt.Fprintln(&files, f)
	}
	write(t, filepath.Join(base, "environ"), environ.String())
	write(t, filepath.Join(base, "files"), files.String())
	write(t, filepath.Join(base, "profiles"), strings.Join(opts.Profiles, "\n"))
	write(t, filepath.Join(base, "services"), strings.Join(opts.Services, "\n"))
	write(t, filepath.Join(base, "env-files"), strings.Join(opts.EnvFiles, "\n"))
	start := opts.Dir
	if len(opts.Files) > 0 {
		start = filepath.Dir(filepath.Join(start, opts.Files[0]))
	}
	write(t, filepath.Join(base, "start"), start)
	write(t, filepath.Join(base, "name"), opts.Name)
	write(t, filepath.Join(base, "differs"), differs)
}

func TestCorpusLoads(t *testing.T) {
	corpus, err := filepath.Glob("testdata/corpus/*.y*ml")
	if err != nil || len(corpus) < 20 {
		t.Fatalf("the corpus is not there: %d files, %v", len(corpus), err)
	}
	for _, path := range corpus {
		t.Run(filepath.Base(path), func(t *testing.T) {
			project, diagnostics, err := Load(context.Background(), Options{Files: []string{path}, SkipPayloads: true})
			if err != nil {
				t.Fatalf("%v", err)
			}
			if len(project.Services) == 0 {
				t.Error("no services")
			}
			for _, d := range diagnostics {
				if d.Place.Line == 0 || d.Source == "" {
					t.Errorf("no place: %v", d)
				}
			}
		})
	}
}

// captured is a load that the tests of the reference loader make.
type captured struct {
	Documents   []string          `json:"documents"`
	Environment map[string]string `json:"environment"`
	Profiles    []string          `json:"profiles"`
	Directory   string            `json:"directory"`
}

// TestDumpDocuments gives the reference module what this loader makes of the
// documents that it has captured: ours.json, or ours.err.
func TestDumpDocuments(t *testing.T) {
	dir := os.Getenv("ORLOP_SPEC_DOCUMENTS")
	if dir == "" {
		t.Skip("needs ORLOP_SPEC_DOCUMENTS: it is run by the tests of spec/reference")
	}
	records, err := filepath.Glob(filepath.Join(dir, "*", "record.json"))
	if err != nil || len(records) == 0 {
		t.Fatalf("no documents in %s: %v", dir, err)
	}
	for _, path := range records {
		base := filepath.Dir(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c captured
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatal(err)
		}
		opts := Options{Dir: c.Directory, Environ: c.Environment, Profiles: c.Profiles, EnvFiles: []string{os.DevNull}, AllowUnset: true, SpareContents: true}
		for i, text := range c.Documents {
			name := fmt.Sprintf("captured-%s-%d.yaml", filepath.Base(base), i)
			write(t, filepath.Join(c.Directory, name), text)
			opts.Files = append(opts.Files, name)
		}
		project, _, err := Load(context.Background(), opts)
		if err != nil {
			write(t, filepath.Join(base, "ours.err"), err.Error())
			continue
		}
		canonical, err := project.JSON()
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(base, "ours.json"), string(canonical))
	}
}
