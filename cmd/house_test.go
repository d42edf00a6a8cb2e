package cmd_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/orlop/orlop/"

// house says which of our packages each may import, itself left out.
func house() map[string][]string {
	// The rooms below runner: none of them knows runner.
	rooms := []string{
		"runner/assembly", "runner/changes", "runner/complaint", "runner/disk", "runner/emulation", "runner/exec", "runner/exec/job", "runner/filesync", "runner/freezer", "runner/health", "runner/hook", "runner/image", "runner/instance", "runner/inventory", "runner/layer", "runner/logs", "runner/logs/merge", "runner/logs/sink", "runner/network", "runner/network/firewall", "runner/network/hostlock", "runner/network/kernel", "runner/network/links", "runner/network/nameserver", "runner/network/netns", "runner/network/ownrange", "runner/network/pool", "runner/network/reconcile", "runner/network/ruleset", "runner/network/sockets", "runner/oci", "runner/op", "runner/ports", "runner/ports/nat", "runner/ports/ways", "runner/proc", "runner/push", "runner/record", "runner/retry", "runner/rootfs", "runner/routines",
		"runner/shim", "runner/shim/fifos", "runner/stdio", "runner/stray", "runner/supervisor", "runner/topology", "runner/userns", "runner/volume", "runner/wiring",
	}
	networks := []string{"runner/network", "runner/network/firewall", "runner/network/hostlock", "runner/network/kernel", "runner/network/links", "runner/network/nameserver", "runner/network/netns", "runner/network/ownrange", "runner/network/pool", "runner/network/reconcile"}
	below := append([]string{"spec", "spec/secret", "planner", "keeper"}, rooms...)
	command := []string{"spec", "spec/schema", "spec/variables", "spec/tree", "spec/plain", "spec/forms", "spec/values", "spec/fetched", "spec/stackfile", "spec/secret", "planner", "builder", "api", "keeper", "cmd/consent", "cmd/remote"}
	verbs := append([]string{"api/archive", "cmd/files", "cmd/up", "cmd/why", "cmd/bake", "cmd/daemon", "cmd/doctor", "cmd/inventory", "cmd/ps", "cmd/registries", "cmd/signing", "cmd/vault", "cmd/watch", "cmd/watch/loop", "cmd/ci", "cmd/ci/junit", "cmd/cli", "cmd/config", "cmd/ports", "cmd/container", "cmd/events", "cmd/lifecycle", "cmd/wait", "cmd/oneoff", "cmd/format", "cmd/graph", "cmd/terminal", "cmd/display", "cmd/provider"}, command...)
	return map[string][]string{
		"runner/network/firewall": {"runner/network/pool"}, "runner/network/pool": {},
		"runner/network/hostlock": {}, "runner/network/kernel": {}, "runner/network/links": {}, "runner/network/nameserver": {}, "runner/network/netns": {}, "runner/network/ownrange": {"runner/disk"}, "runner/network/reconcile": {}, "runner/network/ruleset": {}, "runner/network/sockets": {"runner/network/netns"},
		"spec": {}, "spec/openat": {}, "spec/keyorder": {}, "spec/secret": {}, "spec/userfile": {}, "keeper/sctp": {}, "keeper/holder": {}, "keeper": {}, "failpoint": {},
		"spec/logtag": {}, "spec/cron": {},
		"spec/schema":    {"spec"},
		"spec/variables": {"spec"},
		"spec/plain":     {"spec", "spec/schema", "spec/variables", "spec/tree"},
		"spec/tree":      {"spec", "spec/schema", "spec/variables"},
		"spec/forms":     {"spec", "spec/schema", "spec/variables", "spec/tree"},
		"spec/values":    {"spec", "spec/schema", "spec/variables", "spec/tree"},
		"spec/fetched":   {"spec", "spec/schema", "spec/variables", "spec/tree"},
		"spec/stackfile": {"spec", "spec/schema", "spec/variables", "spec/tree", "spec/forms", "spec/values", "spec/plain", "spec/fetched"},
		"api":            {"spec", "planner"},
		"runner/network": append([]string{"keeper", "runner/disk"}, networks[1:]...), // published ports are held there
		"runner/image":   {"spec", "planner", "runner/disk", "runner/retry"},
		"runner/disk":    {},
		"api/archive":    {}, "runner/freezer": {}, "runner/layer": {},
		"runner/emulation":        {"spec"},
		"runner/assembly":         append([]string{"spec", "spec/secret", "planner", "keeper", "runner/disk", "runner/health", "runner/image", "runner/oci", "runner/proc", "runner/retry", "runner/rootfs", "runner/supervisor", "runner/topology", "runner/userns", "runner/volume"}, networks...),
		"runner/changes":          {},
		"runner/complaint":        {"spec", "planner", "keeper", "runner/disk", "runner/health", "runner/network/pool", "runner/oci", "runner/proc", "runner/ports", "runner/shim", "runner/shim/fifos", "runner/supervisor", "runner/volume"},
		"runner/exec":             {"spec", "runner/exec/job", "runner/shim", "runner/shim/fifos", "runner/proc"},
		"runner/exec/job":         {},
		"cmd/orlop-exec":          {"runner/exec/job", "runner/shim/native/join", "runner/shim/native/joiner", "runner/shim/native/enter", "runner/shim/native/root"},
		"runner/filesync":         {"spec", "spec/secret", "planner", "runner/op", "runner/rootfs"},
		"runner/health":           {"spec", "planner"},
		"runner/hook":             {"spec", "runner/exec", "runner/exec/job", "runner/oci", "runner/proc", "runner/shim", "runner/shim/fifos"},
		"runner/instance":         {"spec", "planner"},
		"runner/inventory":        append([]string{"runner/disk", "spec", "planner", "keeper", "runner/health", "runner/image", "runner/retry", "runner/supervisor", "runner/topology", "runner/volume"}, networks...),
		"runner/logs":             {"runner/disk"},
		"runner/logs/merge":       {"spec", "planner", "runner/disk", "runner/logs"},
		"runner/logs/sink":        {"spec", "planner", "runner/disk", "runner/health", "runner/logs", "runner/supervisor"},
		"runner/ports":            {"spec", "planner", "keeper"},
		"runner/ports/nat":        {"runner/network/firewall", "runner/network/pool"},
		"runner/ports/ways":       append([]string{"spec", "planner", "keeper", "runner/disk", "runner/network/ruleset", "runner/network/sockets", "runner/ports", "runner/ports/nat"}, networks...),
		"runner/op":               {},
		"runner/routines":         {},
		"runner/oci":              {"spec", "runner/proc"},
		"runner/proc":             {},
		"runner/push":             {"runner/retry"},
		"runner/retry":            {},
		"runner/record":           {"spec", "planner", "runner/health", "runner/supervisor"},
		"runner/rootfs":           {"spec", "spec/secret", "api/archive"},
		"runner/shim":             {"spec", "runner/proc", "runner/shim/fifos"},
		"runner/shim/native/root": {}, "runner/shim/native/join": {}, "runner/shim/native/joiner": {}, "runner/shim/native": {"runner/shim/native/join", "runner/shim/native/root"}, "runner/shim/reaper": {}, "runner/shim/tasks": {"runner/shim/fifos", "runner/shim/native/root", "runner/shim/reaper"}, "runner/shim/fifos": {},
		"runner/stray":      {"runner/proc"},
		"runner/stdio":      {},
		"runner/supervisor": {"spec", "planner", "runner/health"},
		"runner/wiring":     append([]string{"spec", "spec/secret", "planner", "keeper", "runner/assembly", "runner/disk", "runner/health", "runner/image", "runner/oci", "runner/proc", "runner/retry", "runner/rootfs", "runner/supervisor", "runner/topology", "runner/userns", "runner/volume"}, networks...),
		"runner/topology":   append([]string{"spec", "planner", "keeper", "runner/disk"}, networks...),
		"runner/userns":     {"spec"},
		"runner/volume":     {"spec", "planner", "runner/disk"},
		"planner":           {"spec"},
		"planner/walk":      {"spec", "planner"},
		"builder":           {"spec", "spec/secret", "planner"},
		"builder/origin":    {},
		"runner":            below,
		"engine/buildkit":   append([]string{"engine/layers", "spec", "planner", "keeper", "runner/image", "runner/disk", "runner/proc", "runner/retry"}, networks...),
		"engine/repair":     {"engine/boltfile"},
		"engine/heap":       {},
		"engine/collector":  append([]string{"api", "engine/settings", "engine/signature", "engine/trust"}, below...),
		"engine/history":    {"spec", "planner"},
		"engine/meter":      {"api", "spec", "planner", "runner/proc"},
		"engine/signature":  {"runner/push", "runner/retry"},
		"engine/trust":      {"engine/signature", "runner/push", "runner/retry", "spec"},
		"engine/admission":  append([]string{"api", "engine/settings", "engine/signature", "engine/trust"}, below...),
		"engine/files":      append([]string{"api", "api/archive", "engine/lent", "engine/tarball"}, below...),
		"engine/lent":       append([]string{"api"}, below...),
		"engine/published":  append([]string{"api", "engine/settings", "engine/signature", "engine/trust", "spec/privilege", "spec/userfile", "spec/yamlfile"}, below...),
		"engine/images":     append([]string{"api"}, below...),
		"engine/containers": append([]string{"api"}, below...),
		"engine/registry":   append([]string{"api", "planner/walk", "engine/mailbox"}, below...),
		"engine/tarball":    {"api", "spec", "planner", "api/archive"},
		"engine/volumes":    append([]string{"api", "api/archive", "engine/tarball"}, below...),
		"engine/programs":   {"runner/disk", "runner/proc"},
		"engine/loglines":   append([]string{"api"}, below...),
		"engine/target":     {"api", "spec", "planner"},
		"engine/temporary":  {},
		"engine/layers":     {},
		"engine/unpack":     {"runner/disk"},
		"engine/mailbox":    {"api", "spec", "planner"},
		"engine/work":       {}, "engine/rootlock": {"runner/proc"},
		"engine/schedule":          {"spec", "planner"},
		"engine/store":             {"engine/boltfile", "engine/repair", "runner/disk"},
		"engine/vault":             {"api", "spec", "spec/secret", "planner", "runner/disk", "runner/rootfs"},
		"engine/doctor":            {"api", "engine/boltfile", "spec", "planner", "keeper/sctp", "runner/userns"},
		"engine":                   append([]string{"builder", "planner/walk", "runner", "api", "engine/buildkit", "engine/collector", "engine/containers", "engine/published", "engine/files", "engine/lent", "engine/loglines", "engine/tarball", "engine/volumes", "engine/heap", "engine/history", "engine/images", "engine/layers", "engine/registry", "engine/admission", "engine/signature", "engine/trust", "engine/repair", "engine/store", "engine/programs", "engine/vault", "engine/mailbox", "engine/meter", "engine/schedule", "engine/work", "engine/rootlock"}, below...),
		"cmd/display":              {"spec", "spec/secret", "planner", "api"},
		"cmd/provider":             {"spec"},
		"cmd/consent":              {"spec"},
		"cmd/remote":               {"spec", "builder"},
		"cmd/cli":                  append([]string{"cmd/display", "cmd/provider"}, command...),
		"cmd/terminal":             append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/ci/junit":             {},
		"cmd/ci":                   append([]string{"cmd/ci/junit", "cmd/cli", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"cmd/watch/loop":           {"spec"},
		"cmd/watch":                append([]string{"cmd/watch/loop", "cmd/cli", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"cmd/daemon":               append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/why":                  append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/files":                append([]string{"api/archive", "cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/events":               append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/lifecycle":            append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/wait":                 append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/oneoff":               append([]string{"cmd/cli", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"cmd/format":               {"spec"},
		"cmd/config":               append([]string{"cmd/registries", "cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/ports":                append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/graph":                {"spec"},
		"cmd/container":            append([]string{"cmd/cli", "cmd/format", "cmd/ps", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"cmd/ps":                   append([]string{"cmd/cli", "cmd/format", "cmd/display", "cmd/provider"}, command...),
		"cmd/bake":                 append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/inventory":            append([]string{"cmd/cli", "cmd/container", "cmd/format", "cmd/ps", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"cmd/registries":           append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/signing":              append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/vault":                {"api", "spec", "planner"},
		"cmd/doctor":               append([]string{"cmd/cli", "cmd/display", "cmd/provider"}, command...),
		"cmd/up":                   append([]string{"cmd/watch", "cmd/watch/loop", "cmd/cli", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"deploy/manifest":          {"spec", "spec/cron"},
		"deploy/cluster":           {"deploy/manifest", "spec"},
		"deploy/rollout":           {},
		"deploy/fields":            {},
		"deploy":                   {"deploy/fields", "deploy/manifest", "deploy/cluster", "deploy/rollout", "spec", "planner"},
		"cmd/deploy/buildkit":      {},
		"cmd/deploy":               append([]string{"cmd/deploy/buildkit", "deploy", "deploy/fields", "deploy/manifest", "deploy/cluster", "deploy/rollout", "planner/walk", "cmd/watch", "cmd/watch/loop", "cmd/cli", "cmd/terminal", "cmd/display", "cmd/provider"}, command...),
		"cmd/orlop-gate":           {},
		"cmd/orlop-deploy":         append([]string{"cmd", "cmd/deploy", "cmd/deploy/buildkit", "deploy", "deploy/fields", "deploy/manifest", "deploy/cluster", "deploy/rollout", "planner/walk"}, verbs...),
		"cmd":                      verbs,
		"cmd/orlop":                append([]string{"cmd"}, verbs...),
		"cmd/orlop-shim":           {"runner/shim/fifos", "runner/shim/native/enter", "runner/shim/native/join", "runner/shim/native/root", "runner/shim/native", "runner/shim/reaper", "runner/shim/tasks"},
		"runner/shim/native/enter": {"runner/shim/native/root"},
		"cmd/orlopd":               {"keeper"},
		"cmd/orlop-engine":         append([]string{"engine", "engine/buildkit", "engine/collector", "engine/doctor", "engine/containers", "engine/published", "engine/files", "engine/lent", "engine/loglines", "engine/tarball", "engine/volumes", "engine/heap", "engine/history", "engine/images", "engine/layers", "engine/registry", "engine/admission", "engine/signature", "engine/trust", "engine/programs", "engine/repair", "engine/store", "engine/vault", "engine/mailbox", "engine/meter", "engine/schedule", "engine/work", "engine/rootlock", "builder", "planner/walk", "runner", "api"}, below...),
	}
}

// broughtBy is the package that brings a small room along: who may import the
// one may import the other; "" of those that the house names.
func broughtBy(room string) string {
	return map[string]string{"api/archive": "runner/rootfs", "keeper/sctp": "keeper", "keeper/holder": "keeper", "spec/userfile": "spec", "spec/keyorder": "spec", "spec/privilege": "spec", "spec/published": "spec", "spec/logtag": "spec", "spec/cron": "spec", "spec/size": "spec", "builder/origin": "builder", "planner/difference": "planner", "planner/happening": "planner", "engine/boltfile": "engine", "engine/outbound": "engine", "engine/settings": "engine", "spec/yamlfile": "spec", "engine/unpack": "engine", "engine/temporary": "engine", "engine/target": "engine"}[room]
}

// heavy are packages that only the engine links.
var heavy = []string{
	"github.com/containerd/containerd/v2/cmd", "github.com/containerd/containerd/v2/client", "github.com/containerd/containerd/v2/core/metadata",
	"github.com/moby/buildkit/control", "github.com/moby/buildkit/worker", "github.com/moby/buildkit/solver/llbsolver",
	"github.com/vishvananda/netlink", "github.com/google/nftables", "go.etcd.io/bbolt",
	"k8s.io", "sigs.k8s.io/cli-utils", // those of orlop-deploy alone
}

// mostBytes is how large the command may be: it is read from the disk before it does anything.
const mostBytes = 32 << 20

func TestTheCommandStaysSmall(t *testing.T) {
	info, err := os.Stat("../bin/orlop")
	if err != nil {
		t.Skip("SKIPPED: needs the built command: make build")
	}
	if info.Size() > mostBytes {
		t.Errorf("bin/orlop has %d MB, more than %d", info.Size()>>20, mostBytes>>20)
	}
}

type listed struct {
	ImportPath string
	Dir        string
	Deps       []string
	GoFiles    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command to look at imports")
	}
	c := exec.Command(goTool, "list", "-e", "-json=ImportPath,Dir,Deps,GoFiles", module+"...")
	c.Dir = ".."
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	var all []listed
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoOneWay(t *testing.T) {
	rules := house()
	seen := 0
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, ruled := rules[name]
		if !ruled {
			continue
		}
		seen++
		for _, dep := range p.Deps {
			ours, isOurs := strings.CutPrefix(dep, module)
			if by := broughtBy(ours); by != "" && (by == name || slices.Contains(allowed, by)) {
				continue
			}
			// Marks are nothing in what users get, and a call of the kernel's that is asked for again is one: they may be anywhere.
			if isOurs && ours != "failpoint" && ours != "spec/openat" && !slices.Contains(allowed, ours) {
				t.Errorf("%s depends on %s, which the design forbids", name, ours)
			}
		}
	}
	if seen < 8 {
		t.Errorf("only %d packages of the design were found", seen)
	}
}

func TestOnlyTheEngineLinksTheServers(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if name != "cmd/orlop" && name != "cmd/orlopd" {
			continue
		}
		for _, dep := range p.Deps {
			for _, h := range heavy {
				if dep == h || strings.HasPrefix(dep, h+"/") {
					t.Errorf("%s links %s", name, dep)
				}
			}
		}
	}
}

func TestKeeperLinksNothingHeavy(t *testing.T) {
	for _, p := range listPackages(t) {
		if name := strings.TrimPrefix(p.ImportPath, module); name != "keeper" {
			continue
		}
		for _, dep := range p.Deps {
			if strings.Contains(strings.SplitN(dep, "/", 2)[0], ".") && !strings.HasPrefix(dep, "golang.org/x/sys/") && !strings.HasPrefix(dep, "vendor/") &&
				dep != module+"failpoint" && !strings.HasPrefix(dep, module+"keeper/") { // the one is empty in what users run, the others are small rooms
				t.Errorf("keeper depends on %s", dep)
			}
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	for _, p := range listPackages(t) {
		if n := docComments(t, p); len(p.GoFiles) > 0 && n != 1 {
			t.Errorf("%s has %d doc comments, want one", p.ImportPath, n)
		}
		base := p.ImportPath[strings.LastIndexByte(p.ImportPath, '/')+1:]
		if slices.Contains([]string{"pkg", "internal", "util", "common", "types", "helpers", "manager"}, base) {
			t.Errorf("%s is a name that says nothing", p.ImportPath)
		}
	}
}

// docComments counts the files that say what their package is for; generated
// ones don't count.
func docComments(t *testing.T, p listed) int {
	t.Helper()
	n := 0
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if f.Doc != nil && !ast.IsGenerated(f) {
			n++
		}
	}
	return n
}

// A package that has outgrown this is several: see the style.
const mostLines = 4_000

func TestNoPackageIsTooLarge(t *testing.T) {
	lines := map[string]int{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return err
		}
		text, err := os.ReadFile(path)
		lines[filepath.Dir(path)] += bytes.Count(text, []byte("\n"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, n := range lines {
		if n > mostLines {
			t.Errorf("%s has %d lines", strings.TrimPrefix(dir, "../"), n)
		}
	}
}
