package stackfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// loadSoon loads a stack that must not keep the test waiting, and gives what is
// wrong with it.
func loadSoon(t *testing.T, opts Options) string {
	t.Helper()
	text := make(chan string, 1)
	go func() {
		_, _, err := Load(context.Background(), opts)
		var mistakes *spec.Mistakes
		switch {
		case errors.As(err, &mistakes):
			text <- mistakes.Diagnostics.Errors()[0].String()
		case err != nil:
			text <- err.Error()
		default:
			text <- ""
		}
	}()
	select {
	case said := <-text:
		return said
	case <-time.After(10 * time.Second):
		t.Fatal("the load waits for ever")
		return ""
	}
}

// TestAFileThatIsNoneIsRefused holds every file that a stack names: a pipe would
// be waited for, a device would take all memory.
//
// Risk files that are none: a pipe or a device stands for each file that a stack names
// Held: refused at its place; nothing waits
func TestAFileThatIsNoneIsRefused(t *testing.T) {
	const service = "services:\n  web:\n    image: x\n"
	for name, test := range map[string]struct{ file, stack, want string }{
		"the stack file":          {"stack.yaml", "", "cannot read stack.yaml: it is a pipe, not a regular file"},
		"its companion":           {"stack.override.yaml", service, "cannot read stack.override.yaml: it is a pipe, not a regular file"},
		".env":                    {".env", service, "cannot read the environment file .env: it is a pipe, not a regular file"},
		"env_file":                {"e", service + "    env_file: ./e\n", "stack.yaml:4:15: services.web.env_file[0]: cannot read ./e: it is a pipe, not a regular file"},
		"env_file, a device":      {"x", service + "    env_file: /dev/zero\n", "stack.yaml:4:15: services.web.env_file[0]: cannot read /dev/zero: it is a device, not a regular file"},
		"env_file, not required":  {"e", service + "    env_file: [{path: ./e, required: false}]\n", "it is a pipe, not a regular file"},
		"label_file":              {"l", service + "    label_file: ./l\n", "stack.yaml:4:17: services.web.label_file[0]: cannot read ./l: it is a pipe, not a regular file"},
		"include":                 {"i.yaml", "include: [i.yaml]\n" + service, "cannot read i.yaml: it is a pipe, not a regular file"},
		"the env_file of include": {"e", "include: [{path: a.yaml, env_file: ./e}]\n" + service, "it is a pipe, not a regular file"},
		"extends":                 {"i.yaml", "services: {web: {extends: {file: i.yaml, service: a}}}\n", "cannot read i.yaml: it is a pipe, not a regular file"},
		"a secret":                {"s", service + "    secrets: [s]\nsecrets: {s: {file: ./s}}\n", "secrets.s: cannot read ./s: it is a pipe, not a regular file"},
		"a config":                {"s", service + "    configs: [s]\nconfigs: {s: {file: ./s}}\n", "configs.s: cannot read ./s: it is a pipe, not a regular file"},
		"/dev/null names no file": {"x", service + "    env_file: /dev/null\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "stack.yaml"), test.stack)
			write(t, filepath.Join(dir, "a.yaml"), service)
			path := filepath.Join(dir, test.file)
			if test.file == "stack.yaml" {
				os.Remove(path)
			}
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			got := loadSoon(t, Options{Dir: dir})
			if !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("said is\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// TestAFileOfAStackIsBounded holds the size of the files that a stack names.
//
// Risk files that are none: a file of 64 GB
// Held: refused by its size, without being read
func TestAFileOfAStackIsBounded(t *testing.T) {
	const service = "services:\n  web:\n    image: x\n"
	for name, test := range map[string]struct{ file, stack string }{
		"env_file":   {"large", service + "    env_file: ./large\n"},
		"label_file": {"large", service + "    label_file: ./large\n"},
		".env":       {".env", service},
		"a secret":   {"large", service + "    secrets: [s]\nsecrets: {s: {file: ./large}}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "stack.yaml"), test.stack)
			path := filepath.Join(dir, test.file)
			write(t, path, "")
			if err := os.Truncate(path, 64<<30); err != nil { // a hole: it takes no room
				t.Fatal(err)
			}
			if got := loadSoon(t, Options{Dir: dir}); !strings.Contains(got, "it is larger than 8 MB") {
				t.Errorf("said is %s", got)
			}
		})
	}
}

// TestAPipeOnTheCommandLineIsRead: what a caller names may be one, and a load
// that waits for it ends with its context.
func TestAPipeOnTheCommandLineIsRead(t *testing.T) {
	dir := t.TempDir()
	pipe := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if text != "" {
			go os.WriteFile(path, []byte(text), 0)
		}
		return path
	}
	opts := Options{
		Dir: dir, Name: "p", Files: []string{pipe("stack", "services: {web: {image: 'x:${TAG}'}}\n")}, EnvFiles: []string{pipe("env", "TAG=7\n")},
	}
	p, _, err := Load(t.Context(), opts)
	if err != nil || p.Services["web"].Image != "x:7" {
		t.Fatalf("it is %+v, %v", p, err)
	}
	interrupted := errors.New("interrupted")
	for name, opts := range map[string]Options{
		"a stack file":       {Files: []string{pipe("never", "")}},
		"an environment one": {EnvFiles: []string{filepath.Join(dir, "never")}, Files: []string{"-"}, Stdin: strings.NewReader("{}")},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(interrupted) })
		opts.Dir = dir
		if _, _, err := Load(ctx, opts); !errors.Is(err, interrupted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAFileElsewhereIsCalledAsItWasGiven: an absolute path stays one, and a relative one too.
func TestAFileElsewhereIsCalledAsItWasGiven(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "sub")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for given, called := range map[string]string{outside: outside, "..": "..", filepath.Join(outside, "no.env"): filepath.Join(outside, "no.env"), "../no.env": "../no.env"} {
		_, _, err := Load(t.Context(), Options{Dir: dir, Name: "p", Files: []string{"-"}, Stdin: strings.NewReader("{}"), EnvFiles: []string{given}})
		if err == nil || !strings.Contains(err.Error(), "cannot read the environment file "+called+":") {
			t.Errorf("%s: %v", given, err)
		}
	}
}

// TestWhatIsNotTextIsRefusedAtItsPlace: JSON would put another character in the place
// of such bytes, and a mount would lead elsewhere.
func TestWhatIsNotTextIsRefusedAtItsPlace(t *testing.T) {
	for name, test := range map[string]struct {
		stack string
		want  string
	}{
		"a mount":     {"services: {web: {image: x, volumes: ['${DIR}:/data']}}\n", "stack.yaml:1:38: services.web.volumes[0].source: the value is not UTF-8 text"},
		"environment": {"services: {web: {image: x, environment: [DIR]}}\n", "services.web.environment.DIR: the value is not UTF-8 text"},
		"neither":     {"services: {web: {image: x}}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "stack.yaml"), test.stack)
			got := loadSoon(t, Options{Dir: dir, Name: "p", Environ: map[string]string{"DIR": "/caf\xe9"}})
			if !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("said is %q, want %q", got, test.want)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "caf\xe9")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "stack.yaml"), "services: {web: {image: x}}\n")
	if got := loadSoon(t, Options{Dir: dir, Name: "p"}); !strings.Contains(got, `caf\xe9": its name is not UTF-8 text`) {
		t.Errorf("said is %q", got)
	}
}
