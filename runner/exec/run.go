package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/shim"
)

// Bounds are those of a process that is run to its end.
type Bounds struct {
	Dir    string        // where its pipes are made
	Output int           // bytes that are kept of what it prints
	Time   time.Duration // after which it is killed; 0: none
	Tee    io.Writer     // gets what it prints, as it comes; may be nil, and is called from two goroutines
}

// leaveTime is how long the output of a process that has ended is read, which
// what it leaves behind may hold open for ever.
const leaveTime = time.Second

// Run runs a process in a task to its end, or kills it when its time is over, with
// all that it began. The error is that it could not be run or was killed.
func Run(ctx context.Context, task containerd.Task, doc *specs.Process, b Bounds) (code int, output string, err error) {
	out := &boundedBuffer{limit: b.Output}
	code, err = run(ctx, task, doc, b, out)
	return code, out.String(), err
}

func run(ctx context.Context, task containerd.Task, doc *specs.Process, b Bounds, out *boundedBuffer) (int, error) {
	clean := context.WithoutCancel(ctx)
	var to io.Writer = out
	if b.Tee != nil {
		to = io.MultiWriter(out, b.Tee)
	}
	process, err := task.Exec(clean, id("p"), doc, newPipes(b.Dir, false, false, to, to))
	if err != nil {
		return -1, err
	}
	streams := process.IO().(*pipes)
	defer func() {
		short, cancel := context.WithTimeout(clean, leaveTime)
		defer cancel()
		streams.handOver()
		_, _ = process.Delete(short, containerd.WithProcessKill)
		streams.Close()
	}()
	exits, err := process.Wait(clean)
	if err != nil {
		return -1, err
	}
	if err := process.Start(clean); err != nil {
		return -1, shim.Explain(err)
	}
	streams.handOver()
	var late <-chan time.Time
	if b.Time > 0 {
		timer := time.NewTimer(b.Time)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case status := <-exits:
		streams.readRest()
		return int(status.ExitCode()), status.Error()
	case <-late:
		err = timedOut(b.Time, out.String())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = process.Kill(clean, unix.SIGKILL)
	return -1, err
}

// timedOut is the error of a probe that was ended, with what it had printed.
func timedOut(after time.Duration, output string) error {
	text := fmt.Sprintf("timed out after %s", after)
	if output = strings.TrimSpace(output); output != "" {
		text += ": " + output
	}
	return errors.New(text)
}

// boundedBuffer keeps the first bytes of an output.
type boundedBuffer struct {
	mu    sync.Mutex
	limit int
	buf   bytes.Buffer // guarded by mu
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := b.limit - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *boundedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// readRest reads what a process that has ended has printed. What it leaves behind
// may hold its output open for ever.
func (e *pipes) readRest() {
	read := make(chan struct{})
	go func() { e.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(leaveTime):
		e.Close()
	}
}
