package manifest_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

var update = flag.Bool("update", false, "write what is made into the test data")

// stack loads the stack file of an archive. Its comment may set options: "publish nodeport", "gate IMAGE".
func stack(t *testing.T, archive *txtar.Archive) (*spec.Project, manifest.Options) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	for _, f := range archive.Files {
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
	project, _, err := stackfile.Load(context.Background(), stackfile.Options{Dir: dir, Environ: map[string]string{}})
	if err != nil {
		t.Fatal(err)
	}
	o := manifest.Options{File: look, Checks: map[string]*spec.HealthCheck{}}
	for _, line := range strings.Split(string(archive.Comment), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "publish":
			o.Publish = rest
		case "gate":
			o.Gate = rest
		}
	}
	return project, o
}

func look(path string) (*manifest.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f := &manifest.File{Mode: info.Mode()}
	if info.Mode().IsRegular() && info.Size() <= manifest.MaxFile {
		f.Content, err = os.ReadFile(path)
	}
	return f, err
}

func TestAProjectIsTheseObjects(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			project, options := stack(t, archive)
			set, found := manifest.Build(project, options)
			var objects, complaints bytes.Buffer
			if len(found.Errors()) == 0 {
				encoder := yaml.NewEncoder(&objects)
				encoder.SetIndent(2)
				for _, r := range set.Resources {
					for _, o := range r.Objects {
						if err := encoder.Encode(o.Body); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if err := found.Sourced(project.WorkingDir).Render(&complaints, false); err != nil {
				t.Fatal(err)
			}
			stable := strings.NewReplacer(project.WorkingDir, "/DIR").Replace
			compare(t, archive, "want.yaml", stable(objects.String()))
			compare(t, archive, "want.txt", stable(complaints.String()))
			if *update {
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func compare(t *testing.T, archive *txtar.Archive, name, got string) {
	t.Helper()
	for i, f := range archive.Files {
		if f.Name != name {
			continue
		}
		if *update {
			archive.Files[i].Data = []byte(got)
		} else if string(f.Data) != got {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, f.Data)
		}
		return
	}
	switch {
	case *update && got != "":
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got)})
	case got != "":
		t.Errorf("%s is\n%s\nand nothing is wanted", name, got)
	}
}

func TestWhatNoObjectCanHoldIsRefusedWithItsPlace(t *testing.T) {
	for size, want := range map[int]int{manifest.MaxContent: 0, manifest.MaxContent + 1: 1} {
		project, options := stack(t, &txtar.Archive{Files: []txtar.File{
			{Name: "stack.yaml", Data: []byte("services:\n  web: {image: x, configs: [large]}\nconfigs:\n  large: {file: large}\n")},
			{Name: "large", Data: bytes.Repeat([]byte("x"), size)},
		}})
		_, found := manifest.Build(project, options)
		if len(found.Errors()) != want || want > 0 && (found[0].Path != "configs.large" || found[0].Place.Line != 4) {
			t.Errorf("of %d bytes is said %v", size, found)
		}
	}
}
