package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/sirupsen/logrus"
)

// document is what one test of compose-go has loaded.
type document struct {
	name        string
	base        string            // where the record is
	Documents   []string          `json:"documents"`
	Environment map[string]string `json:"environment"`
	Profiles    []string          `json:"profiles"`
	Directory   string            `json:"directory"`
}

// slowTests are left out of the capture: they load one generated document of
// many megabytes to measure a limit.
const slowTests = "TestVisitCounterLimit|TestLargeLegitimateFile"

// TestDocumentsOfTheReference captures all that compose-go's own tests load,
// and holds that we refuse what it refuses, accept what it accepts, and make
// the same project of it, but for what docs/differences.md tells.
func TestDocumentsOfTheReference(t *testing.T) {
	logrus.SetLevel(logrus.ErrorLevel)
	documents := capture(t)
	if len(documents) < 500 {
		t.Fatalf("only %d documents were captured", len(documents))
	}
	loadOurs(t, filepath.Dir(documents[0].base))
	unsupported := readUnsupported(t)
	found, ofKind := map[string]string{}, map[*kind]int{}
	for _, d := range documents {
		outcome, detail := d.compare(t, unsupported)
		if k := kindOf(detail); outcome == refused && k != nil {
			ofKind[k]++
			continue
		}
		if outcome != "" {
			if _, known := found[d.name]; known {
				t.Errorf("two documents have the name %s", d.name)
			}
			found[d.name] = outcome
			if differences[d.name].outcome != outcome {
				t.Errorf("%s: %s\n%s\n%s", d.name, outcome, detail, strings.Join(d.Documents, "\n--- next file\n"))
			}
		}
	}
	for i := range kinds {
		if k := &kinds[i]; ofKind[k] != k.documents {
			t.Errorf("%s: %d documents, %d are told of", k.pattern, ofKind[k], k.documents)
		}
	}
	for name, want := range differences {
		if found[name] != want.outcome {
			t.Errorf("%s: %s is told of (%s), and is not so", name, want.outcome, want.reason)
		}
	}
}

// capture runs the tests of compose-go on a copy of its module whose loader
// writes down what it is given.
func capture(t *testing.T) []*document {
	t.Helper()
	module := filepath.Join(t.TempDir(), "compose-go")
	if err := os.CopyFS(module, os.DirFS(moduleDir(t))); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chmod", "-R", "u+w", module).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(filepath.Join("testdata", "capture.go.txt"))
	if err != nil {
		t.Fatal(err)
	}
	loader := filepath.Join(module, "loader", "loader.go")
	text, err := os.ReadFile(loader)
	if err != nil {
		t.Fatal(err)
	}
	begin := []byte("\topts := ToOptions(&configDetails, options)\n")
	if n := bytes.Count(text, begin); n != 2 {
		t.Fatalf("compose-go's loader has %d beginnings, not 2: capture is to be looked at", n)
	}
	text = bytes.ReplaceAll(text, begin, append([]byte("\tcapture(configDetails, options)\n"), begin...))
	for path, content := range map[string][]byte{loader: text, filepath.Join(module, "loader", "capture.go"): program} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "documents")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("go", "test", "-count=1", "-skip", slowTests, "./loader/...", "./cli/...")
	run.Dir = module
	run.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "ORLOP_CAPTURE="+out, "ORLOP_CAPTURE_KEEPS="+module)
	if report, err := run.CombinedOutput(); err != nil {
		t.Fatalf("compose-go's own tests fail: %v\n%s", err, report)
	}
	return records(t, out)
}

func moduleDir(t *testing.T) string {
	t.Helper()
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/compose-spec/compose-go/v2")
	dir, err := list.Output()
	if err != nil || len(bytes.TrimSpace(dir)) == 0 {
		t.Fatalf("cannot find compose-go: %v", err)
	}
	return string(bytes.TrimSpace(dir))
}

func records(t *testing.T, dir string) []*document {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*", "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*document
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d := &document{base: filepath.Dir(path), name: filepath.Base(filepath.Dir(path))}
		if err := json.Unmarshal(data, d); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// loadOurs has our loader load the documents, by its own test binary.
func loadOurs(t *testing.T, dir string) {
	t.Helper()
	run := exec.Command("go", "test", "-count=1", "-run", "^TestDumpDocuments$", "github.com/orlop/orlop/spec/stackfile")
	run.Dir = filepath.Join("..", "..")
	run.Env = append(os.Environ(), "ORLOP_SPEC_DOCUMENTS="+dir)
	if report, err := run.CombinedOutput(); err != nil {
		t.Fatalf("cannot run our loader: %v\n%s", err, report)
	}
}

// compare is what the loaders do not agree on; "" if they agree.
func (d *document) compare(t *testing.T, unsupported keys) (outcome, detail string) {
	t.Helper()
	theirs, refusal := d.theirs(t)
	complaint, err := os.ReadFile(filepath.Join(d.base, "ours.err"))
	isRefused := err == nil
	switch {
	case refusal != nil && isRefused:
		return "", ""
	case refusal != nil:
		return accepted, refusal.Error()
	case isRefused:
		return refused, string(complaint)
	}
	var ours map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(read(t, d.base, "ours.json"), "$$", "$")), &ours); err != nil {
		t.Fatal(err)
	}
	unsupported.drop(theirs, nil)
	unsupported.drop(ours, nil) // some are kept, for clusters
	normalize(theirs)
	normalize(ours)
	got, want := show(t, ours), show(t, theirs)
	if bytes.Equal(got, want) {
		return "", ""
	}
	return differs, "(- compose-go, + ours)\n" + difference(want, got)
}

// theirs is compose-go's project, or why it refuses one.
func (d *document) theirs(t *testing.T) (map[string]any, error) {
	t.Helper()
	var files []string
	for i := range d.Documents {
		files = append(files, filepath.Join(d.Directory, fmt.Sprintf("captured-%s-%d.yaml", d.name, i)))
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(d.Directory), cli.WithProfiles(d.Profiles), cli.WithDiscardEnvFile, withEnvironment(d.Environment))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	agents := map[string]any{} // which compose-go cannot always write
	for name, service := range project.Services {
		if service.Build == nil || len(service.Build.SSH) == 0 {
			continue
		}
		mapping := map[string]any{}
		for _, key := range service.Build.SSH {
			mapping[key.ID] = nil
			if key.Path != "" {
				mapping[key.ID] = key.Path
			}
		}
		agents[name], service.Build.SSH = mapping, nil
	}
	data, err := json.Marshal(project.WithoutUnnecessaryResources())
	if err != nil {
		t.Fatal(err)
	}
	var theirs map[string]any
	if err := json.Unmarshal(data, &theirs); err != nil {
		t.Fatal(err)
	}
	services, _ := theirs["services"].(map[string]any)
	for name, mapping := range agents {
		services[name].(map[string]any)["build"].(map[string]any)["ssh"] = mapping
	}
	return theirs, nil
}

func withEnvironment(environment map[string]string) cli.ProjectOptionsFn {
	return func(o *cli.ProjectOptions) error {
		maps.Copy(o.Environment, environment)
		return nil
	}
}

// keys are paths, such as "services.*.logging".
type keys map[string]bool

// readUnsupported are the keys that docs/compose-support.md says are not
// carried out.
func readUnsupported(t *testing.T) keys {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "compose-support.md"))
	if err != nil {
		t.Fatal(err)
	}
	unsupported := keys{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (?:not here|no effect) \\|").FindAllStringSubmatch(string(page), -1) {
		unsupported[strings.ReplaceAll(row[1], "[]", ".*")] = true
	}
	if len(unsupported) < 10 {
		t.Fatalf("the page of keys has only %d rows", len(unsupported))
	}
	return unsupported
}

// drop takes out of a value what we leave aside, with a warning.
func (k keys) drop(value any, path []string) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			below := append(slices.Clone(path), key)
			if k[strings.Join(below, ".")] || k[strings.Join(starred(below), ".")] {
				delete(v, key)
				continue
			}
			k.drop(child, below)
		}
	case []any:
		for _, child := range v {
			k.drop(child, append(slices.Clone(path), "*"))
		}
	}
}

// starred is a path with stars for the names of the user.
func starred(path []string) []string {
	out := slices.Clone(path)
	for _, at := range []int{1, 3} {
		if len(out) > at && (at == 1 || out[2] == "networks") {
			out[at] = "*"
		}
	}
	return out
}

// kindOf is the kind that explains all of our complaints; nil if none does.
func kindOf(complaint string) *kind {
	for i := range kinds {
		if k := &kinds[i]; !slices.ContainsFunc(slices.Collect(strings.Lines(complaint)), func(line string) bool { return !k.pattern.MatchString(line) }) {
			return k
		}
	}
	return nil
}
