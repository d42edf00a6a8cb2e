// Package files has the verbs about the files of containers and images: they are copied,
// exported, listed, and made into images. What may be written where is decided in the
// package archive, on the caller's side, and by the engine on the other.
package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec/userfile"
)

// Verbs are those about files.
type Verbs struct {
	// Of is the invocation that a verb works with, once its flags are read.
	Of func() *cli.Invocation
}

// meter shows how many bytes have gone by, on a line at the bottom of a terminal.
type meter struct {
	what  string
	total int64 // 0: not known
	bytes atomic.Int64
	line  *display.BottomLine
	began time.Time
	done  chan struct{}
	over  chan struct{}

	mu       sync.Mutex
	followed *os.File // guarded by mu; its offset is how many bytes have gone by, if it is there
}

// showEvery is how often the line is drawn.
const showEvery = 100 * time.Millisecond

// measure begins a meter; quiet has it show nothing.
func (v *Verbs) measure(what string, total int64, quiet bool) *meter {
	m := &meter{what: what, total: total, began: v.Of().Now(), done: make(chan struct{}), over: make(chan struct{})}
	if !quiet && !v.Of().IsSilent() {
		m.line = v.Of().Output.KeepLine()
	}
	if m.line == nil {
		close(m.over)
		return m
	}
	go func() {
		defer close(m.over)
		t := time.NewTicker(showEvery)
		defer t.Stop()
		for {
			select {
			case <-m.done:
				m.line.Set("")
				return
			case <-t.C:
				m.line.Set(" " + m.what + "  " + display.Amount(m.sofar(), m.total))
			}
		}
	}()
	return m
}

// end takes the line away, and on a terminal says what was done.
func (m *meter) end(v *Verbs, said string) {
	close(m.done)
	<-m.over
	if m.line != nil && said != "" {
		fmt.Fprintf(v.Of().Stderr, " %s %s, %s\n", v.Of().ErrStyle().Green("✓"), said, display.Bytes(m.sofar()))
	}
}

// count counts what is written.
func (m *meter) count(to io.Writer) io.Writer { return &counted{to, m} }

type counted struct {
	to io.Writer
	m  *meter
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.m.bytes.Add(int64(n))
	return n, err
}

// say tells what was left out.
func (v *Verbs) say(notes ...string) {
	for _, n := range notes {
		fmt.Fprintln(v.Of().Stderr, v.Of().ErrStyle().Yellow(" ! "+display.Printable(n)))
	}
}

// converse writes to a stream and takes its answer, which may come before all is written.
// Writing ends with it.
func converse(ctx context.Context, stream grpc.ClientStream, answer any, write func(context.Context) error) error {
	writing, stop := context.WithCancel(ctx)
	defer stop()
	answered := make(chan error, 1)
	go func() { // ends with the stream
		answered <- stream.RecvMsg(answer)
		stop()
	}()
	err := write(writing)
	if err == nil {
		err = stream.CloseSend()
	}
	isOurs := err != nil && !errors.Is(err, io.EOF) // which a stream says that was answered
	if isOurs && (writing.Err() == nil || ctx.Err() != nil) {
		return err
	}
	return <-answered
}

// copyInput copies a file that is named on the command line, "-" for standard input, as long
// as ctx has not ended.
func (v *Verbs) copyInput(ctx context.Context, out io.Writer, path string) error {
	in, done, err := io.Reader(nil), func() {}, error(nil)
	if path == "-" {
		in, done, err = userfile.Interruptible(ctx, v.Of().Stdin)
	} else {
		var f *userfile.Input
		if f, err = userfile.OpenGiven(ctx, path); err == nil {
			in, done = f, func() { f.Close() }
		}
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, bare(err))
	}
	defer done()
	_, err = io.CopyBuffer(out, struct{ io.Reader }{in}, make([]byte, archive.BufferSize))
	return err
}

// notForTerminal refuses to write an archive to a terminal.
func (v *Verbs) notForTerminal() error {
	if display.IsTerminal(v.Of().Stdout) {
		return errors.New("an archive is not for a terminal: write it to a file, or to a pipe")
	}
	return nil
}
