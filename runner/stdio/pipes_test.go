package stdio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
)

// reading collects what comes out of pipes.
type reading struct {
	mu  sync.Mutex
	out [2]bytes.Buffer // guarded by mu
}

func (r *reading) read(f *os.File, stderr bool) {
	if f == nil {
		return
	}
	text, _ := io.ReadAll(f)
	r.mu.Lock()
	defer r.mu.Unlock()
	i := 0
	if stderr {
		i = 1
	}
	r.out[i].Write(text)
}

func opened(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// A pipe ends only once it was handed over to the shim and the shim has let go.
func TestPipesAreReadToTheEndOfTheShimsOwn(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // also where there are some of a try before
		config, err := Make(dir, false, true)
		if err != nil {
			t.Fatal(err)
		}
		got := &reading{}
		p, err := Open(config, true, got.read)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Outputs()) != 2 || p.Config() != config {
			t.Fatalf("%d outputs, %+v", len(p.Outputs()), p.Config())
		}
		out, errOut := opened(t, config.Stdout, os.O_WRONLY), opened(t, config.Stderr, os.O_WRONLY)
		in := opened(t, config.Stdin, os.O_RDONLY)
		p.Cancel()
		write(t, out, "hello")
		write(t, errOut, "bad")
		write(t, p.Stdin(), "input")
		text := make([]byte, 5)
		if _, err := io.ReadFull(in, text); err != nil || string(text) != "input" {
			t.Errorf("the process reads %q, %v", text, err)
		}
		out.Close()
		errOut.Close()
		p.Wait()
		if got.out[0].String() != "hello" || got.out[1].String() != "bad" {
			t.Errorf("read are %q and %q", got.out[0].String(), got.out[1].String())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestATerminalHasOneOutput(t *testing.T) {
	config, err := Make(t.TempDir(), true, false)
	if err != nil || config.Stderr != "" || config.Stdin != "" || !config.Terminal {
		t.Fatalf("%+v, %v", config, err)
	}
	p, err := Open(config, true, (&reading{}).read)
	if err != nil {
		t.Fatal(err)
	}
	if p.Stdin() != nil || len(p.Outputs()) != 1 {
		t.Error("it has more than its output")
	}
	p.Close()
	p.Wait()
}

func TestPipesThatAreNotThere(t *testing.T) {
	got := &reading{}
	if _, err := Open(Paths(t.TempDir()), false, got.read); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	calls := 0
	var mu sync.Mutex
	if err := Drain(Paths(t.TempDir()), func(f *os.File, _ bool) { mu.Lock(); calls++; mu.Unlock(); got.read(f, false) }); err != nil || calls != 2 {
		t.Errorf("%d are read, %v", calls, err)
	}
}

// What is left of a process is read though something holds its pipe open.
func TestWhatIsLeftIsReadForAWhile(t *testing.T) {
	config, err := Make(t.TempDir(), false, false)
	if err != nil {
		t.Fatal(err)
	}
	keeper := opened(t, config.Stdout, os.O_RDWR)
	write(t, keeper, "the rest")
	got := &reading{}
	if err := Drain(config, got.read); err != nil || got.out[0].String() != "the rest" {
		t.Errorf("read is %q, %v", got.out[0].String(), err)
	}
}

func TestWhoIsAttachedIsGivenBothStreams(t *testing.T) {
	tap := NewTap()
	tap.Begin()
	if tap.IsAttached() {
		t.Error("somebody is attached")
	}
	r := tap.Attach()
	tap.Write(false, []byte("out"))
	tap.Write(true, []byte("err"))
	ended := make(chan struct{})
	close(ended)
	tap.End()
	tap.End() // once more is once
	var out, errOut bytes.Buffer
	if err := r.Copy(t.Context(), ended, &out, &errOut); err != nil || out.String() != "out" || errOut.String() != "err" {
		t.Errorf("given are %q and %q, %v", out.String(), errOut.String(), err)
	}
	if !tap.IsAttached() {
		t.Error("nobody is attached")
	}
	tap.Detach(r)
	tap.Detach(r)
	tap.Write(false, []byte("nobody reads that"))
	if tap.IsAttached() {
		t.Error("it is still attached")
	}
}

func TestAReaderMayGoAway(t *testing.T) {
	tap := NewTap()
	r := tap.Attach()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Copy(ctx, make(chan struct{}), io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	tap.Write(false, []byte("x"))
	broken, w := io.Pipe()
	broken.Close()
	if err := r.Copy(t.Context(), make(chan struct{}), w, io.Discard); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("its writer is gone: %v", err)
	}
}

func TestStandardInputByTheTap(t *testing.T) {
	tap := NewTap()
	if err := tap.WriteStdin([]byte("dropped")); err != nil {
		t.Errorf("without a standard input: %v", err)
	}
	tap.CloseStdin()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tap.SetStdin(out)
	if err := tap.WriteStdin([]byte("typed")); err != nil {
		t.Fatal(err)
	}
	tap.CloseStdin()
	if text, err := io.ReadAll(in); err != nil || string(text) != "typed" {
		t.Errorf("it reads %q, %v", text, err)
	}
}

var _ cio.IO = (*Pipes)(nil)
