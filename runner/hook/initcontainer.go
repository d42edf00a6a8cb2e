package hook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/orlop/orlop/runner/exec"
)

// Init is how a container of pre_start is made, and connected to as it is started.
type Init struct {
	Make   func(ctx context.Context) (id string, err error)
	Attach func(ctx context.Context, id string, stdout, stderr io.Writer) (*exec.Process, error)
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
	stop := context.AfterFunc(waits, func() { _ = p.Signal(ctx, "SIGKILL") })
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

	mu   sync.Mutex
	text []byte // guarded by mu; the last outputSize bytes
	line []byte // guarded by mu; the one that is not whole yet
}

func (o *output) Write(b []byte) (int, error) {
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
		o.say(string(bytes.TrimRight(line, "\r")))
		o.line = rest
	}
	o.line = append([]byte(nil), o.line[max(0, len(o.line)-outputSize):]...)
	return len(b), nil
}

// end tells of a last line without an end.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.say(string(o.line))
	}
}

func (o *output) kept() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
