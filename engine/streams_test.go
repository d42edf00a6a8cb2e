package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/target"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/shim"
)

// driven is a process that is driven over a stream, with its caller.
type driven struct {
	ctx  context.Context
	hang context.CancelFunc // the caller goes away
	says chan *api.ProcessInput
	deaf error // what sending gives

	got     strings.Builder // what the caller was sent
	resized string
	signals []string
	life    context.Context
	exit    chan int // what the process ends with
	over    bool     // what follows from its end was awaited
	waited  bool     // somebody has seen its end
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

func newDriven(t *testing.T) *driven {
	d := &driven{says: make(chan *api.ProcessInput), exit: make(chan int, 1)}
	d.ctx, d.hang = context.WithCancel(t.Context())
	return d
}

func (d *driven) Context() context.Context { return d.ctx }

func (d *driven) Recv() (*api.ProcessInput, error) {
	select {
	case m, ok := <-d.says:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-d.ctx.Done():
		return nil, d.ctx.Err()
	}
}

func (d *driven) Send(m *api.ProcessOutput) error {
	if d.deaf != nil {
		return d.deaf
	}
	switch of := m.Of.(type) {
	case *api.ProcessOutput_Started:
		d.got.WriteString("started|")
	case *api.ProcessOutput_Stdout:
		fmt.Fprintf(&d.got, "out %s|", of.Stdout)
	case *api.ProcessOutput_Stderr:
		fmt.Fprintf(&d.got, "err %s|", of.Stderr)
	case *api.ProcessOutput_ExitCode:
		fmt.Fprintf(&d.got, "exit %d|", of.ExitCode)
	}
	return nil
}

// run is the process, as the runner begins it.
func (d *driven) run(ctx context.Context, in io.Reader, out, errOut io.Writer) (*exec.Process, error) {
	d.life, d.stdin, d.stdout, d.stderr = ctx, in, out, errOut
	return exec.NewProcess(exec.Controls{
		Resize: func(_ context.Context, columns, rows uint32) error {
			d.resized = fmt.Sprint(columns, "x", rows)
			return nil
		},
		Kill: func(_ context.Context, sig syscall.Signal) error {
			d.signals = append(d.signals, sig.String())
			return nil
		},
		Wait: func(ctx context.Context) (int, error) {
			defer func() { d.waited = true }()
			select {
			case code := <-d.exit:
				return code, nil
			case <-ctx.Done():
				return -1, context.Cause(ctx)
			}
		},
		Over: func(context.Context) { d.over = true },
	}), nil
}

// drive drives the process to its end, in its own time.
func (d *driven) drive(start *api.ProcessStart) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- (&server{}).drive(d, start, d.run) }()
	return ended
}

func signal(name string) *api.ProcessInput {
	return &api.ProcessInput{Of: &api.ProcessInput_Signal{Signal: name}}
}

func typed(text string) *api.ProcessInput {
	return &api.ProcessInput{Of: &api.ProcessInput_Stdin{Stdin: []byte(text)}}
}

func TestAProcessIsDrivenToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriven(t)
		ended := d.drive(&api.ProcessStart{Stdin: true})
		synctest.Wait()
		go func() { _, _ = io.Copy(d.stdout, d.stdin); fmt.Fprint(d.stderr, "all read"); d.exit <- 7 }()
		for _, m := range []*api.ProcessInput{
			{Of: &api.ProcessInput_Resize{Resize: &api.TerminalSize{Columns: 80, Rows: 24}}},
			signal("SIGHUP"), typed("ab"), typed("c"), {Of: &api.ProcessInput_CloseStdin{CloseStdin: true}},
		} {
			d.says <- m
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got, want := d.got.String(), "started|out ab|out c|err all read|exit 7|"; got != want {
			t.Errorf("its caller got %s, want %s", got, want)
		}
		if d.resized != "80x24" || fmt.Sprint(d.signals) != "[hangup]" {
			t.Errorf("resized to %q, signalled %v", d.resized, d.signals)
		}
		if !d.over {
			t.Error("the stream ends before what follows from the end of the process is done")
		}
	})
}

// TestACallerThatHasNothingMoreToSayStays: its input ends, the process does not.
func TestACallerThatHasNothingMoreToSayStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriven(t)
		ended := d.drive(&api.ProcessStart{Stdin: true})
		close(d.says)
		synctest.Wait()
		if _, err := d.stdin.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || d.life.Err() != nil {
			t.Errorf("the input ends with %v, the process with %v", err, d.life.Err())
		}
		d.exit <- 0
		if err := <-ended; err != nil || d.got.String() != "started|exit 0|" {
			t.Errorf("%v, %s", err, d.got.String())
		}
	})
}

func TestAProcessEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriven(t)
		ended := d.drive(&api.ProcessStart{Stdin: true})
		d.says <- typed("nobody reads it") // what is on its way does not keep it
		synctest.Wait()
		d.hang()
		if err := <-ended; !errors.Is(err, context.Canceled) || !d.waited {
			t.Errorf("%v, its end is seen: %t", err, d.waited)
		}
	})
}

// TestAProcessWhoseBeginningNobodyHearsEnds: its caller went away while it was
// begun.
func TestAProcessWhoseBeginningNobodyHearsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriven(t)
		d.deaf = errors.New("gone")
		if err := <-d.drive(&api.ProcessStart{}); !errors.Is(err, d.deaf) {
			t.Error(err)
		}
		synctest.Wait()
		if !d.waited {
			t.Error("it runs on, and nobody waits for it")
		}
	})
}

func TestAProcessThatIsLetGoRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriven(t)
		ended := d.drive(&api.ProcessStart{Stdin: true, Terminal: true})
		d.says <- &api.ProcessInput{Of: &api.ProcessInput_Detach{Detach: true}}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		d.hang()
		synctest.Wait()
		if d.life.Err() != nil || d.waited {
			t.Error("it ends with its caller")
		}
		if _, err := fmt.Fprint(d.stdout, "unheard"); err != nil || d.got.String() != "started|" {
			t.Errorf("what it prints is sent, or stops it: %v, %s", err, d.got.String())
		}
		d.exit <- 0
		synctest.Wait()
		if !d.waited {
			t.Error("nobody sees its end")
		}
	})
}

// TestAProgramThatCantBeRunHasAnExitCode: as in a shell, with the reason among
// what the process prints. Any other error is the call's own.
func TestAProgramThatCantBeRunHasAnExitCode(t *testing.T) {
	d := newDriven(t)
	fail := func(err error) error {
		return (&server{}).drive(d, &api.ProcessStart{}, func(context.Context, io.Reader, io.Writer, io.Writer) (*exec.Process, error) { return nil, err })
	}
	if err := fail(fmt.Errorf("cannot start: %w", &shim.RuncError{Code: 127})); err != nil {
		t.Fatal(err)
	}
	if got := d.got.String(); !strings.HasPrefix(got, "err cannot start: ") || !strings.HasSuffix(got, "\n|exit 127|") {
		t.Errorf("its caller got %s", got)
	}
	if other := errors.New("not running"); !errors.Is(fail(other), other) {
		t.Error("another error is hidden")
	}
}

func TestAProcessWithoutInputHasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDriven(t)
		ended := d.drive(&api.ProcessStart{})
		d.says <- typed("lost")
		d.says <- &api.ProcessInput{Of: &api.ProcessInput_CloseStdin{CloseStdin: true}}
		synctest.Wait()
		if d.stdin != nil {
			t.Error("it has an input") // a nil *io.PipeReader is one, too
		}
		d.exit <- 0
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAProcessBeginsWithItsStart(t *testing.T) {
	d := newDriven(t)
	go func() { d.says <- typed("too early") }()
	if _, err := receiveStart(d); err == nil || !strings.HasPrefix(err.Error(), "internal error") {
		t.Errorf("it begins with something else: %v", err)
	}
	d.hang()
	if _, err := receiveStart(d); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTheContainerOfAProcess(t *testing.T) {
	list := []planner.Container{{ID: "w1", Service: "web", Number: 1, State: planner.Running}}
	for name, c := range map[string]struct {
		start *api.ProcessStart
		want  string
		err   string
	}{
		"by its ID":           {&api.ProcessStart{Container: "x9", Service: "web"}, "x9", ""},
		"of its service":      {&api.ProcessStart{Service: "web"}, "w1", ""},
		"a number that isn't": {&api.ProcessStart{Service: "web", Index: 2}, "", `service web has no container 2: start it with "orlop up"`},
		"no container at all": {&api.ProcessStart{Service: "db"}, "", `service db has no container: start it with "orlop up"`},
	} {
		got, err := target.Of(c.start, list)
		if got != c.want || err == nil && c.err != "" || err != nil && err.Error() != c.err {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestTheLogsThatAreAskedFor(t *testing.T) {
	none := logOptions(&api.LogsRequest{Tail: -1})
	if !none.Since.IsZero() || !none.Until.IsZero() || none.Tail != -1 || none.Follow {
		t.Errorf("without bounds they are %+v", none)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 5, time.UTC)
	got := logOptions(&api.LogsRequest{SinceUnixNs: at.UnixNano(), UntilUnixNs: at.Add(1).UnixNano(), Follow: true, Services: []string{"web"}, Containers: []string{"x9"}})
	if !got.Since.Equal(at) || !got.Until.Equal(at.Add(1)) || !got.Follow || got.Services[0] != "web" || got.Containers[0] != "x9" {
		t.Errorf("they are %+v", got)
	}
}
