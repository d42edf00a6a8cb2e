package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// TestCorpus holds the output of `orlop config --format json` against that of
// `docker compose config --format json` (its command does no more than theirs here) for
// each stack file below the directories that ORLOP_CORPUS lists, which are nobody's here.
func TestCorpus(t *testing.T) {
	dirs := filepath.SplitList(os.Getenv("ORLOP_CORPUS"))
	if len(dirs) == 0 {
		fmt.Fprintln(os.Stderr, "not run: TestCorpus, as ORLOP_CORPUS names no directories with stack files")
		t.Skip("ORLOP_CORPUS names no directories with stack files")
	}
	t.Setenv("HOME", "/home/me")
	orlop := build(t)
	files := stackFiles(t, dirs)
	same, alike, refusedToo := 0, 0, 0
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			theirs, refusal := composeConfig(path)
			ours, complaint, err := orlopConfig(orlop, path)
			switch {
			case refusal != nil && err != nil:
				refusedToo++
				return
			case refusal != nil:
				t.Fatalf("%s: %v", accepted, refusal)
			case err != nil:
				t.Fatalf("%s: %s", refused, complaint)
			}
			want, got := parsed(t, theirs), parsed(t, ours)
			if reflect.DeepEqual(want, got) {
				same++
				return
			}
			t.Logf("they differ (- Compose, + ours):\n%s", difference(show(t, want), show(t, got)))
			readUnsupported(t).drop(want, nil)
			normalize(want)
			normalize(got)
			if !reflect.DeepEqual(want, got) {
				t.Fatalf("%s, and docs/differences.md does not tell (- Compose, + ours):\n%s", differs, difference(show(t, want), show(t, got)))
			}
			alike++
		})
	}
	t.Logf("%d stack files: %d have the same JSON, %d but for differences that are told of, %d refused by both", len(files), same, alike, refusedToo)
}

// build makes the command, whose dependencies are none of this module's.
func build(t *testing.T) string {
	t.Helper()
	orlop := filepath.Join(t.TempDir(), "orlop")
	run := exec.Command("go", "build", "-o", orlop, "./cmd/orlop")
	run.Dir = filepath.Join("..", "..")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the command: %v\n%s", err, out)
	}
	return orlop
}

func stackFiles(t *testing.T, dirs []string) []string {
	t.Helper()
	var all []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
				all = append(all, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no stack files below %s", strings.Join(dirs, ", "))
	}
	return all
}

// environment is all that both know of.
func environment() []string { return []string{"HOME=/home/me", "PATH=" + os.Getenv("PATH")} }

func orlopConfig(orlop, path string) (out []byte, complaint string, err error) {
	run := exec.Command(orlop, "-f", path, "--allow-unset", "config", "--format", "json")
	run.Env, run.Dir = environment(), filepath.Dir(path)
	var stderr bytes.Buffer
	run.Stderr = &stderr
	out, err = run.Output()
	return out, stderr.String(), err
}

// composeConfig does what the config verb of Compose does (cmd/compose/config.go,
// runConfigInterpolate).
func composeConfig(path string) ([]byte, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithEnv(environment()), cli.WithWorkingDirectory(""), cli.WithDotEnv,
		cli.WithDefaultProfiles(), cli.WithDiscardEnvFile, cli.WithInterpolation(true), cli.WithResolvedPaths(true), cli.WithNormalization(true), cli.WithConsistency(true))
	if err != nil {
		return nil, fmt.Errorf("options: %w", err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	if project, err = project.WithoutUnnecessaryResources().WithServicesEnvironmentResolved(true); err != nil {
		return nil, err
	}
	if err := project.CheckContainerNameUnicity(); err != nil {
		return nil, err
	}
	data, err := project.MarshalJSON()
	return bytes.ReplaceAll(data, []byte("$"), []byte("$$")), err
}

func parsed(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var project map[string]any
	if err := json.Unmarshal(text, &project); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return project
}
