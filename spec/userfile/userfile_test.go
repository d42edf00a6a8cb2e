package userfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// within fails a test that waits where nothing may wait.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s waits for ever", what)
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.WriteFile(at("file"), []byte("text"), 0o600))
	check(os.Symlink("file", at("link")))
	check(os.Symlink("pipe", at("link to a pipe")))
	check(unix.Mkfifo(at("pipe"), 0o600))
	check(os.WriteFile(at("large"), nil, 0o600))
	check(os.Truncate(at("large"), MaxText+1))
	check(os.WriteFile(at("full"), nil, 0o600))
	check(os.Truncate(at("full"), MaxText))
	l, err := net.Listen("unix", at("socket"))
	check(err)
	defer l.Close()
	for path, want := range map[string]string{
		at("file"): "", at("link"): "", at("full"): "", os.DevNull: "",
		at("pipe"):           "it is a pipe, not a regular file",
		at("link to a pipe"): "it is a pipe, not a regular file",
		at("socket"):         "it is a socket, not a regular file",
		"/dev/zero":          "it is a device, not a regular file",
		at("large"):          "it is larger than 8 MB",
		dir:                  "is a directory",
		at("none"):           "no such file or directory",
	} {
		within(t, 10*time.Second, path, func() {
			_, err := Read(path)
			var at *fs.PathError
			if (err == nil) != (want == "") || err != nil && (!strings.HasSuffix(err.Error(), want) || !errors.As(err, &at)) {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
		})
	}
	if _, err := Read(at("pipe")); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a pipe is not told from other failures: %v", err)
	}
	// What the kernel makes as it is read says that it has no bytes.
	if text, err := Read("/proc/self/status"); err != nil || len(text) == 0 {
		t.Errorf("a file of the kernel: %q, %v", text, err)
	}
}

func TestAPipeIsReadOnceAndRemembered(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	// Who writes comes later than who reads, and stops in the middle.
	go func() {
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer w.Close()
		for range 3 {
			w.Write(bytes.Repeat([]byte("x"), 40_000))
		}
	}()
	var g Given
	for range 2 {
		data, err := g.Read(t.Context(), pipe, MaxText)
		if err != nil || len(data) != 120_000 {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("A=1\n")
	w.Close()
	for range 2 {
		if data, err := g.ReadStdin(t.Context(), r, MaxText); err != nil || string(data) != "A=1\n" {
			t.Errorf("%q, %v", data, err)
		}
	}
}

func TestAFileThatIsGivenIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var g Given
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if data, err := g.Read(t.Context(), path, MaxText); err != nil || string(data) != text {
			t.Errorf("%q, %v, want %q", data, err, text)
		}
	}
}

func TestWhatIsGivenEndsWithItsContextAndAtItsLimit(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	ended := errors.New("ended by the user")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for name, read := range map[string]func(ctx context.Context) error{
		"a pipe that nobody writes": func(ctx context.Context) error { _, err := new(Given).Read(ctx, pipe, MaxText); return err },
		"standard input":            func(ctx context.Context) error { _, err := (*Given)(nil).ReadStdin(ctx, r, MaxText); return err },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(ended) })
		within(t, 10*time.Second, name, func() {
			if err := read(ctx); !errors.Is(err, ended) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	var large *TooLarge
	if _, err := new(Given).Read(t.Context(), "/dev/zero", 1<<20); !errors.As(err, &large) {
		t.Errorf("/dev/zero: %v", err)
	}
	if _, err := new(Given).Read(t.Context(), t.TempDir(), MaxText); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
}

func TestAReaderThatCannotWaitStaysWhatItIs(t *testing.T) {
	in := strings.NewReader("x")
	out, done, err := Interruptible(t.Context(), in)
	if err != nil || out != io.Reader(in) {
		t.Errorf("it is %v, %v", out, err)
	}
	done()
}
