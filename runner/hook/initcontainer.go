package hook

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/orlop/orlop/runner/exec"
)

// Init is how a container of pre_start is made, and connected to as it is started.
type Init struct {
	Make   func(ctx context.Context) (id string, err error)
	Attach func(ctx context.Context, id string, stdout, stderr io.Writer) (*exec.Process, error)

	StopSignal string        // of one that is interrupted; "" is SIGTERM
	Grace      time.Duration // that it gets to end then
}

// Run runs it to its end, which waits may bring forth, and gives say each line that it
// prints. Its failure is an Error.
func (i Init) Run(waits context.Context, at Place, hide func(string) string, say func(line string)) error {
	ctx := context.WithoutCancel(waits)
	id, err := i.Make(ctx)
	if err != nil {
		return err
	}
	out := &output{say: func(line string) { say(hide(line)) }}
	p, err := i.Attach(ctx, id, out, out)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(waits, func() {
		_ = p.Signal(ctx, cmp.Or(i.StopSignal, "SIGTERM"))
		select {
		case <-ended:
		case <-time.After(i.Grace):
			_ = p.Signal(ctx, "SIGKILL")
		}
	})
	defer stop()
	code, err := p.Wait(ctx)
	p.AwaitOver(ctx)
	out.end()
	switch {
	case waits.Err() != nil:
		return context.Cause(waits)
	case err != nil:
		return at.Fail("cannot be run: "+err.Error(), hide(out.kept()))
	case code != 0:
		return at.Fail(fmt.Sprintf("ended with exit code %d", code), hide(out.kept()))
	}
	return nil
}

// output cuts what a container prints into lines, and keeps the last of it.
type output struct {
	say func(line string)

	saying sync.Mutex // held while lines are said, so that none is after the end
	ended  bool       // guarded by saying

	mu   sync.Mutex
	text []byte // guarded by mu; the last outputSize bytes
	line []byte // guarded by mu; the one that is not whole yet
}

func (o *output) Write(b []byte) (int, error) {
	o.saying.Lock()
	defer o.saying.Unlock()
	for _, line := range o.take(b) {
		if !o.ended {
			o.say(line)
		}
	}
	return len(b), nil
}

// take keeps what is written, and gives the lines that are whole by it.
func (o *output) take(b []byte) (lines []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b...)
	o.text = o.text[max(0, len(o.text)-outputSize):]
	o.line = append(o.line, b...)
	for {
		line, rest, ok := bytes.Cut(o.line, []byte("\n"))
		if !ok {
			break
		}
		lines = append(lines, string(bytes.TrimRight(line, "\r")))
		o.line = rest
	}
	o.line = append([]byte(nil), o.line[max(0, len(o.line)-outputSize):]...)
	return lines
}

// end tells of a last line without an end. What comes later, of processes that were left behind, is not told.
func (o *output) end() {
	o.saying.Lock()
	defer o.saying.Unlock()
	o.ended = true
	o.mu.Lock()
	line := string(o.line)
	o.mu.Unlock()
	if line != "" {
		o.say(line)
	}
}

func (o *output) kept() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
