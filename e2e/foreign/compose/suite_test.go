package compose

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	module = "github.com/docker/compose/v5"
	suite  = module + "/pkg/e2e"
)

// bases are the images that the tests ask Docker Hub for, by what they are of images/stack.yaml.
var bases = map[string][]string{
	"alpine": {
		"library/alpine:latest", "library/alpine:3.12", "library/alpine:3.13.12", "library/alpine:3.14", "library/alpine:3.15", "library/alpine:3.18",
		"library/alpine:3.19", "library/alpine:3.20", "library/alpine:3.22",
	},
	"bash": {"library/bash:latest"}, "alpine/curl": {"alpine/curl:latest"}, "nginx": {"library/nginx:latest", "library/nginx:alpine"},
	"hello-world": {"library/hello-world:latest"}, "busybox": {"library/busybox:latest", "library/busybox:1.35.0"}, "gtardif/sentences-web": {"gtardif/sentences-web:latest"}, "gtardif/sentences-api": {"gtardif/sentences-api:latest"},
	"gtardif/sentences-db": {"gtardif/sentences-db:latest", "library/mariadb:latest"}, "registry": {"library/registry:3"}, "debian:bookworm-slim": {"library/debian:latest"}, "golang:bookworm": {"library/golang:alpine"},
}

// bench is where the tests run.
type bench struct {
	t                 *testing.T
	repo, dir, config string
	registry          string // host and port
	env               []string
}

// TestSuite runs the tests and holds their results against notpassing.txt. RUN is a pattern of those to run, SKIP one of those to leave out.
func TestSuite(t *testing.T) {
	b := newBench(t)
	b.startRegistry()
	b.startEngine()
	got := b.run(os.Getenv("RUN"))
	excused := readExcused(t)
	passed, all := 0, 0
	for _, name := range b.names() {
		if got[name] == nil {
			t.Errorf("%s was not run: the tests ended before", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		r := got[name]
		if r.hasParts && (r.outcome != "fail" || hasFailedPart(got, name)) {
			continue // its parts are judged
		}
		all++
		reason, isExcused := excused[name]
		switch {
		case r.outcome == "pass":
			passed++
			if isExcused {
				t.Errorf("%s passes: strike it from notpassing.txt (%s)", name, reason)
			}
		case !isExcused:
			t.Errorf("%s: %s\n%s", name, r.outcome, tail(r.output.String(), 60))
		}
	}
	t.Logf("%d of %d scenarios pass", passed, all)
	if os.Getenv("RUN")+os.Getenv("SKIP") == "" {
		for name := range excused {
			if _, ran := got[name]; !ran {
				t.Errorf("notpassing.txt names %s, which is no test", name)
			}
		}
	}
}

// hasFailedPart says that a part of a test has failed, so that its own failure is no other.
func hasFailedPart(got map[string]*result, name string) bool {
	for part, r := range got {
		if strings.HasPrefix(part, name+"/") && r.outcome == "fail" {
			return true
		}
	}
	return false
}

// names are the tests that must have been run.
func (b *bench) names() (names []string) {
	if os.Getenv("RUN")+os.Getenv("SKIP") != "" {
		return nil
	}
	for name := range strings.Lines(b.must(exec.Command(filepath.Join(b.dir, "compose.test"), "-test.list", "."))) {
		if name = strings.TrimSpace(name); strings.HasPrefix(name, "Test") {
			names = append(names, name)
		}
	}
	if len(names) < 200 {
		b.t.Errorf("there are %d tests", len(names))
	}
	return names
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the engine needs root")
	}
	repo, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "orlop-foreign-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{t: t, repo: repo, dir: dir}
	for _, name := range []string{"bin", "home/.docker", "registry", "root", "state", "artifacts"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.write("home/.docker/config.json", "{}\n")
	b.env = []string{"ORLOP_ROOT=" + filepath.Join(dir, "root"), "ORLOP_STATE=" + filepath.Join(dir, "state")}
	b.write("bin/env", strings.Join(b.env, "\n")+"\n")
	b.must(exec.Command("go", "build", "-o", filepath.Join(dir, "bin/docker"), "./docker"))
	if err := os.Symlink("docker", filepath.Join(dir, "bin/docker-compose")); err != nil {
		t.Fatal(err)
	}
	b.must(exec.Command("go", "build", "-o", filepath.Join(dir, "bin/example-provider"), module+"/docs/examples"))
	b.must(exec.Command("go", "test", "-c", "-tags", "e2e", "-o", filepath.Join(dir, "compose.test"), suite))
	source := strings.TrimSpace(b.must(exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)))
	b.must(exec.Command("cp", "-r", filepath.Join(source, "pkg/e2e"), filepath.Join(dir, "e2e")))
	b.must(exec.Command("chmod", "-R", "u+w", filepath.Join(dir, "e2e")))
	return b
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// must runs a command and gives what it prints.
func (b *bench) must(c *exec.Cmd) string {
	b.t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		b.t.Fatalf("%s: %v\n%s%s", strings.Join(c.Args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

func (b *bench) orlop(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(b.repo, "bin/orlop"), args...)
	c.Env = append(os.Environ(), append(b.env, "HOME="+filepath.Join(b.dir, "home"))...)
	return c
}

// startRegistry starts a registry, which the engine asks in place of Docker Hub.
func (b *bench) startRegistry() {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.registry = l.Addr().String()
	l.Close()
	b.write("registry.yml", fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: %q}\n",
		filepath.Join(b.dir, "registry"), b.registry))
	c := exec.Command("docker-registry", "serve", filepath.Join(b.dir, "registry.yml"))
	if err := c.Start(); err != nil {
		b.t.Fatalf("cannot start a registry: %v (make deps installs it)", err)
	}
	b.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for end := time.Now().Add(20 * time.Second); ; {
		res, err := http.Get("http://" + b.registry + "/v2/")
		if err == nil {
			res.Body.Close()
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("the registry does not answer: %v", err)
		}
	}
}

// startEngine starts an engine and fills the registry with base images; the engine itself has none, as Docker has none.
func (b *bench) startEngine() {
	b.t.Helper()
	b.write("root/engine.yaml", fmt.Sprintf("registries:\n  docker.io: {mirrors: [\"http://%s\"]}\n", b.registry))
	b.t.Cleanup(b.stopEngine)
	for _, name := range []string{"busybox", "debian", "golang"} {
		b.must(b.orlop("image", "load", filepath.Join(b.repo, ".cache/images", name+".tar")))
	}
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		b.t.Fatal(err)
	}
	b.must(exec.Command("cp", "-r", "images", filepath.Join(b.dir, "images")))
	b.must(exec.Command("cp", program, filepath.Join(b.dir, "images/docker-registry")))
	b.must(b.orlop("-f", filepath.Join(b.dir, "images/stack.yaml"), "build"))
	for image, names := range bases {
		for _, name := range names {
			to := b.registry + "/" + name
			b.must(b.orlop("image", "tag", image, to))
			b.must(b.orlop("image", "push", to))
			b.must(b.orlop("image", "rm", to))
		}
		b.must(b.orlop("image", "rm", "--force", image))
	}
}

func (b *bench) stopEngine() {
	b.endCommands()
	if ids := strings.Fields(b.try("container", "ls", "-q")); len(ids) > 0 {
		b.try(append([]string{"container", "kill"}, ids...)...) // some have hooks that fail when they are stopped
	}
	if ids := strings.Fields(b.try("container", "ls", "-aq")); len(ids) > 0 {
		b.try(append([]string{"container", "rm", "-fv"}, ids...)...)
	}
	for _, name := range strings.Fields(b.try("ls", "-aq")) {
		b.try("-p", name, "down", "-v", "-t", "0")
	}
	for _, kind := range []string{"network", "volume"} {
		for _, name := range strings.Fields(b.try(kind, "ls", "-q")) {
			b.try(kind, "rm", name)
		}
	}
	b.try("engine", "stop")
}

// endCommands ends what the tests have left running: some begin a watch and never end it. They are known by the root in their environment.
func (b *bench) endCommands() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		b.t.Error(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environ, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00"+b.env[0]+"\x00") {
			continue
		}
		if program, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe")); filepath.Base(program) == "orlop" {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// try runs orlop for what it prints, whether it succeeds or not.
func (b *bench) try(args ...string) string {
	out, err := b.orlop(args...).Output()
	if err != nil {
		b.t.Logf("orlop %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// result is how a test has ended.
type result struct {
	outcome  string // pass, fail or skip
	hasParts bool
	output   bytes.Buffer
}

// run runs the tests that match a pattern.
func (b *bench) run(pattern string) map[string]*result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 25*time.Minute)
	defer cancel()
	args := []string{"tool", "test2json", filepath.Join(b.dir, "compose.test"), "-test.v=test2json", "-test.timeout", "24m"}
	if pattern != "" {
		args = append(args, "-test.run", pattern)
	}
	if skipped := os.Getenv("SKIP"); skipped != "" {
		args = append(args, "-test.skip", skipped)
	}
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = filepath.Join(b.dir, "e2e")
	c.Env = append(os.Environ(),
		"HOME="+filepath.Join(b.dir, "home"), "PATH="+filepath.Join(b.dir, "bin")+":"+filepath.Join(b.repo, "bin")+":"+os.Getenv("PATH"),
		"COMPOSE_E2E_BIN_PATH="+filepath.Join(b.dir, "bin/docker-compose"), "GOCACHE="+b.goEnv("GOCACHE"), "GOPATH="+b.goEnv("GOPATH"))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	got := readResults(b.t, out)
	if err := c.Wait(); err != nil {
		var failed *exec.ExitError
		if !errors.As(err, &failed) {
			b.t.Fatal(err)
		}
	}
	return got
}

func (b *bench) goEnv(name string) string {
	return strings.TrimSpace(b.must(exec.Command("go", "env", name)))
}

// readResults reads what test2json prints.
func readResults(t *testing.T, r io.Reader) map[string]*result {
	got := map[string]*result{}
	log := io.Discard
	if path := os.Getenv("LOG"); path != "" {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		log = f
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		io.WriteString(log, e.Output)
		if e.Test == "" {
			continue
		}
		one := got[e.Test]
		if one == nil {
			one = &result{outcome: "not ended"}
			got[e.Test] = one
			if above, _, isPart := cutLast(e.Test, "/"); isPart && got[above] != nil {
				got[above].hasParts = true
			}
		}
		switch e.Action {
		case "pass", "fail", "skip":
			one.outcome = e.Action
		case "output":
			one.output.WriteString(e.Output)
		}
	}
	return got
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// readExcused reads notpassing.txt: a name and a reason a line.
func readExcused(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("notpassing.txt")
	if err != nil {
		t.Fatal(err)
	}
	excused := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok || strings.TrimSpace(reason) == "" {
			t.Fatalf("notpassing.txt: %s has no reason", name)
		}
		excused[name] = strings.TrimSpace(reason)
	}
	return excused
}
