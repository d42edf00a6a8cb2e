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
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"go.yaml.in/yaml/v3"
)

// TestBothLoadersAgree runs our loader (by its own test binary, so that the
// product's dependencies stay out of this module) and compose-go over the same
// directories.
func TestBothLoadersAgree(t *testing.T) {
	out := t.TempDir()
	dump := exec.Command("go", "test", "-count=1", "-run", "^TestDump$", "github.com/orlop/orlop/spec/stackfile")
	dump.Dir = filepath.Join("..", "..")
	dump.Env = append(os.Environ(), "ORLOP_SPEC_DUMP="+out)
	if report, err := dump.CombinedOutput(); err != nil {
		t.Fatalf("cannot run our loader: %v\n%s", err, report)
	}
	t.Setenv("HOME", "/home/me") // compose-go asks the process; the scripts say it
	cases, err := filepath.Glob(filepath.Join(out, "*", "ours.json"))
	if err != nil || len(cases) < 30 {
		t.Fatalf("our loader gave only %d projects: %v", len(cases), err)
	}
	for _, path := range cases {
		base := filepath.Dir(path)
		t.Run(filepath.Base(base), func(t *testing.T) { compare(t, base) })
	}
}

func compare(t *testing.T, base string) {
	if reason := read(t, base, "differs"); reason != "" {
		t.Skip("documented difference: " + reason)
	}
	theirs, ordered := reference(t, base)
	compareOrder(t, "", yamlOf(t, ordered), yamlOf(t, []byte(read(t, base, "ours.yaml"))))
	var ours map[string]any
	if err := json.Unmarshal([]byte(strings.ReplaceAll(read(t, base, "ours.json"), "$$", "$")), &ours); err != nil {
		t.Fatal(err)
	}
	normalize(theirs)
	normalize(ours)
	got, want := show(t, ours), show(t, theirs)
	if !bytes.Equal(got, want) {
		t.Errorf("the loaders differ (- compose-go, + ours):\n%s", difference(want, got))
	}
}

func read(t *testing.T, base, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(base, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// compareOrder holds the keys that both have of a mapping, and of what is in it, against each other: they come in the same order.
func compareOrder(t *testing.T, path string, theirs, ours *yaml.Node) {
	t.Helper()
	if theirs.Kind != ours.Kind {
		return
	}
	if theirs.Kind == yaml.SequenceNode {
		for i := range min(len(theirs.Content), len(ours.Content)) {
			compareOrder(t, fmt.Sprintf("%s[%d]", path, i), theirs.Content[i], ours.Content[i])
		}
		return
	}
	if theirs.Kind != yaml.MappingNode {
		return
	}
	keys := func(of, other *yaml.Node) (names []string) {
		for i := 0; i < len(of.Content); i += 2 {
			if valueOf(other, of.Content[i].Value) != nil {
				names = append(names, of.Content[i].Value)
			}
		}
		return names
	}
	want, got := keys(theirs, ours), keys(ours, theirs)
	if !slices.Equal(want, got) {
		t.Errorf("%s: the keys are printed in the order %q, by Compose in %q", strings.TrimPrefix(path, "."), got, want)
	}
	for _, key := range want {
		compareOrder(t, path+"."+key, valueOf(theirs, key), valueOf(ours, key))
	}
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func yamlOf(t *testing.T, data []byte) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil {
		t.Fatal(err)
	}
	return n.Content[0]
}

// reference is compose-go's canonical project, also as it prints it.
func reference(t *testing.T, base string) (theirs map[string]any, ordered []byte) {
	t.Helper()
	dir := filepath.Join(base, "demo")
	files := strings.Fields(read(t, base, "files"))
	envFiles := within(dir, strings.Fields(read(t, base, "env-files")))
	set := []cli.ProjectOptionsFn{
		cli.WithEnv(strings.Split(strings.TrimSuffix(read(t, base, "environ"), "\n"), "\n")),
		cli.WithWorkingDirectory(read(t, base, "start")),
		cli.WithEnvFiles(envFiles...),
		cli.WithDotEnv,
		cli.WithWorkingDirectory(filepath.Dir(files[0])),
		cli.WithEnvFiles(envFiles...),
		cli.WithDotEnv,
		cli.WithDefaultProfiles(strings.Fields(read(t, base, "profiles"))...),
	}
	if name := read(t, base, "name"); name != "" {
		set = append(set, cli.WithName(name))
	}
	options, err := cli.NewProjectOptions(files, set...)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("compose-go refuses what we accept: %v", err)
	}
	if services := strings.Fields(read(t, base, "services")); len(services) > 0 {
		if project, err = project.WithServicesEnabled(services...); err != nil {
			t.Fatal(err)
		}
	}
	if project, err = project.WithServicesEnvironmentResolved(true); err != nil {
		t.Fatal(err)
	}
	project = project.WithoutUnnecessaryResources()
	data, err := json.Marshal(project)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &theirs); err != nil {
		t.Fatal(err)
	}
	if ordered, err = project.MarshalYAML(); err != nil {
		t.Fatal(err)
	}
	return theirs, ordered
}

func within(dir string, paths []string) []string {
	for i, p := range paths {
		paths[i] = filepath.Join(dir, p)
	}
	return paths
}

func show(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// difference shows the first lines that differ, with what stands around them.
func difference(want, got []byte) string {
	wanted, given := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	at := 0
	for at < len(wanted) && at < len(given) && wanted[at] == given[at] {
		at++
	}
	var b strings.Builder
	for _, line := range wanted[max(0, at-6):at] {
		b.WriteString("  " + line + "\n")
	}
	for _, line := range wanted[at:min(len(wanted), at+8)] {
		b.WriteString("- " + line + "\n")
	}
	for _, line := range given[at:min(len(given), at+8)] {
		b.WriteString("+ " + line + "\n")
	}
	return b.String()
}

// notCarriedOut are the keys that our loader drops with a warning.
var notCarriedOut = map[string][]string{
	"service": {"runtime"},
	"network": {"attachable"},
}

// normalize takes out the differences that are meant.
func normalize(project map[string]any) {
	maps.DeleteFunc(project, func(k string, _ any) bool { return strings.HasPrefix(k, "x-") })
	each(project["services"], func(service map[string]any) {
		drop(service, notCarriedOut["service"])
		maps.DeleteFunc(service, func(k string, _ any) bool { return strings.HasPrefix(k, "x-") })
		delete(service, "label_file") // its labels are among the labels
		eachOf(service["pre_start"], func(init map[string]any) {
			drop(init, notCarriedOut["service"])
			delete(init, "label_file")
			sortByJSON(init["extra_hosts"])
		})
		if deploy, ok := service["deploy"].(map[string]any); ok {
			drop(deploy, notCarriedOut["deploy"])
			if resources, ok := deploy["resources"].(map[string]any); ok {
				if reserved, ok := resources["reservations"].(map[string]any); ok {
					eachOf(reserved["devices"], func(d map[string]any) { delete(d, "options") }) // of drivers that are programs of Docker's
				}
			}
			// compose-go shows empty parts of deploy.
			maps.DeleteFunc(deploy, func(_ string, v any) bool { m, ok := v.(map[string]any); return ok && len(m) == 0 })
		}
		if attached, ok := service["networks"].(map[string]any); ok {
			for name, a := range attached {
				if m, ok := a.(map[string]any); ok {
					drop(m, notCarriedOut["attach"])
					if len(m) == 0 {
						attached[name] = nil // {} and null say the same
					}
				}
			}
		}
		if develop, ok := service["develop"].(map[string]any); ok {
			eachOf(develop["watch"], func(rule map[string]any) {
				// compose-go shows an exec that is not there.
				if hook, ok := rule["exec"].(map[string]any); ok && hook["command"] == nil {
					delete(rule, "exec")
				}
			})
		}
		// compose-go leaves absolute paths as they are written.
		eachOf(service["volumes"], func(mount map[string]any) {
			if source, ok := mount["source"].(string); ok && strings.HasPrefix(source, "/") {
				mount["source"] = filepath.Clean(source)
			}
		})
		// compose-go orders expanded ranges as text.
		sortByJSON(service["ports"])
		// Optional dependencies on services that are not active are dropped by us at once.
		if deps, ok := service["depends_on"].(map[string]any); ok {
			active, _ := project["services"].(map[string]any)
			maps.DeleteFunc(deps, func(name string, _ any) bool { return active[name] == nil })
			if len(deps) == 0 {
				delete(service, "depends_on")
			}
		}
		// The order of lists that are sets does not matter.
		for _, set := range []string{"extra_hosts", "expose"} {
			sortByJSON(service[set])
		}
	})
	each(project["networks"], func(network map[string]any) { drop(network, notCarriedOut["network"]) })
	for _, section := range []string{"networks", "volumes", "secrets", "configs"} {
		if m, ok := project[section].(map[string]any); ok && len(m) == 0 {
			delete(project, section)
		}
	}
}

func each(section any, do func(map[string]any)) {
	m, _ := section.(map[string]any)
	for _, v := range m {
		if entry, ok := v.(map[string]any); ok {
			do(entry)
		}
	}
}

func eachOf(list any, do func(map[string]any)) {
	items, _ := list.([]any)
	for _, v := range items {
		if entry, ok := v.(map[string]any); ok {
			do(entry)
		}
	}
}

func drop(m map[string]any, keys []string) {
	for _, k := range keys {
		delete(m, k)
	}
}

func sortByJSON(list any) {
	items, ok := list.([]any)
	if !ok {
		return
	}
	slices.SortFunc(items, func(a, b any) int {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		return bytes.Compare(x, y)
	})
}
