package runner

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// forgetful keeps nothing.
type forgetful struct{}

func (forgetful) Keep(context.Context, string, ...*os.File) error { return nil }
func (forgetful) Drop(context.Context, string) error              { return nil }

// TestWhatWasPrintedIsReadToItsEnd: a process that has ended leaves output in
// its pipe; it arrives, however slowly it is read.
func TestWhatWasPrintedIsReadToItsEnd(t *testing.T) {
	r := &Runner{
		Config: Config{Root: t.TempDir(), State: t.TempDir(), Keeping: forgetful{}, Now: time.Now},
		ctx:    t.Context(), log: slog.New(slog.DiscardHandler), containers: map[string]*container{},
	}
	c := r.newContainer(&supervisor.Record{Metadata: supervisor.Metadata{ID: "id", Name: "shop-web-1", Applied: &planner.Applied{Service: &spec.Service{}}}}, nil, false)
	defer c.log.Close()
	streams, err := c.openStreams("")
	if err != nil {
		t.Fatal(err)
	}
	defer streams.Close()
	shim, err := os.OpenFile(streams.Config().Stdout, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader := c.tap.Attach()
	defer c.tap.Detach(reader)
	want := bytes.Repeat([]byte("0123456789abcde\n"), 40_000) // fits into the pipe
	if n, err := shim.Write(want); n != len(want) || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	shim.Close()
	streams.Cancel() // as containerd's client does before it deletes a task
	read := make(chan struct{})
	go func() { streams.Wait(); close(read) }()
	var out bytes.Buffer
	if err := reader.Copy(t.Context(), read, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	got := out.Bytes()
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived of %d", len(got), len(want))
	}
}
