package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// process is the engine's side of a stream.
type process struct {
	out chan *api.ProcessOutput // closed at the end of the stream
	err error                   // of the end

	mu   sync.Mutex // guards sent
	sent []*api.ProcessInput
	got  chan struct{} // one for each message
}

func newProcess() *process {
	return &process{out: make(chan *api.ProcessOutput, 8), err: io.EOF, got: make(chan struct{}, 16)}
}

func (p *process) Send(m *api.ProcessInput) error {
	p.mu.Lock()
	p.sent = append(p.sent, m)
	p.mu.Unlock()
	p.got <- struct{}{}
	return nil
}

func (p *process) Recv() (*api.ProcessOutput, error) {
	m, ok := <-p.out
	if !ok {
		return nil, p.err
	}
	return m, nil
}

func (p *process) CloseSend() error { return nil }

// input is what was sent after the start, in words.
func (p *process) input() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var words []string
	for _, m := range p.sent[1:] {
		switch of := m.Of.(type) {
		case *api.ProcessInput_Stdin:
			words = append(words, "in:"+string(of.Stdin))
		case *api.ProcessInput_CloseStdin:
			words = append(words, "close")
		case *api.ProcessInput_Signal:
			words = append(words, of.Signal)
		case *api.ProcessInput_Detach:
			words = append(words, "detach")
		case *api.ProcessInput_Resize:
			words = append(words, "resize")
		}
	}
	return strings.Join(words, " ")
}

func (p *process) await(t *testing.T, messages int) {
	t.Helper()
	for range messages {
		select {
		case <-p.got:
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d messages were sent", len(p.sent))
		}
	}
}

func exitCode(code int32) *api.ProcessOutput {
	return &api.ProcessOutput{Of: &api.ProcessOutput_ExitCode{ExitCode: code}}
}

// running is an invocation that a process runs for.
func running(stdin io.Reader, signals, resized chan os.Signal) (inv *cli.Invocation, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	s := cli.NewSettings(cli.World{Stdin: stdin, Signals: signals, Resized: resized, Now: time.Now})
	return cli.New(s, display.NewOutput(out, errs)), out, errs
}

func TestAProcessHasTheCallersStreams(t *testing.T) {
	p := newProcess()
	inv, out, errs := running(strings.NewReader("typed"), nil, nil)
	p.out <- &api.ProcessOutput{Of: &api.ProcessOutput_Stdout{Stdout: []byte("out")}}
	p.out <- &api.ProcessOutput{Of: &api.ProcessOutput_Stderr{Stderr: []byte("err")}}
	go func() {
		p.await(t, 3) // the start, the text, and its end
		p.out <- exitCode(7)
		close(p.out)
	}()
	err := Run(context.Background(), inv, p, &api.ProcessStart{Stdin: true}, Options{})
	if code, ok := errors.AsType[cli.Exit](err); !ok || code.Code != 7 {
		t.Errorf("the end is %v", err)
	}
	if out.String() != "out" || errs.String() != "err" || p.input() != "in:typed close" {
		t.Errorf("printed are %q and %q, sent is %q", out, errs, p.input())
	}
}

func TestSignalsGoToTheProcess(t *testing.T) {
	p := newProcess()
	signals, resized := make(chan os.Signal, 2), make(chan os.Signal, 1)
	inv, _, _ := running(strings.NewReader(""), signals, resized)
	go func() {
		p.await(t, 1)
		signals <- unix.SIGHUP
		resized <- unix.SIGWINCH // no terminal: nobody's business
		signals <- os.Interrupt
		p.await(t, 2)
		p.out <- exitCode(0)
		close(p.out)
	}()
	if err := Run(context.Background(), inv, p, &api.ProcessStart{}, Options{}); err != nil || p.input() != "SIGHUP SIGINT" {
		t.Errorf("%v, sent is %q", err, p.input())
	}
}

func TestAProcessInTheBackgroundIsLeftOnceItHasBegun(t *testing.T) {
	p := newProcess()
	inv, _, _ := running(nil, nil, nil)
	p.out <- &api.ProcessOutput{Of: &api.ProcessOutput_Started{Started: true}}
	if err := Run(context.Background(), inv, p, &api.ProcessStart{Detach: true}, Options{}); err != nil {
		t.Error(err)
	}
}

func TestAStreamThatEndsWithoutACodeIsLost(t *testing.T) {
	p := newProcess()
	inv, _, _ := running(nil, nil, nil)
	close(p.out)
	if err := Run(context.Background(), inv, p, &api.ProcessStart{}, Options{}); !errors.Is(err, api.ErrLost) {
		t.Errorf("the end is %v", err)
	}
}

// TestTheDetachKeysLeaveTheProcess types on a terminal, in raw mode.
func TestTheDetachKeysLeaveTheProcess(t *testing.T) {
	keys, tty := pseudoTerminal(t)
	defer keys.Close()
	defer tty.Close()
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	check(t, err)
	p := newProcess()
	resized := make(chan os.Signal, 1)
	s := cli.NewSettings(cli.World{Stdin: tty, Resized: resized, Now: time.Now})
	inv := cli.New(s, display.NewOutput(tty, tty))
	if !IsOn(inv) {
		t.Fatal("the caller's streams are a terminal")
	}
	ended := make(chan error, 1)
	go func() {
		ended <- Run(context.Background(), inv, p, &api.ProcessStart{Stdin: true, Terminal: true}, Options{DetachKeys: "ctrl-p,ctrl-q"})
	}()
	p.await(t, 1)
	if size := p.sent[0].GetStart().Size; size.Columns != 100 || size.Rows != 30 {
		t.Errorf("the size is %v", size)
	}
	resized <- unix.SIGWINCH
	p.await(t, 1)
	_, err = keys.WriteString("a")
	check(t, err)
	p.await(t, 1)
	_, err = keys.WriteString("\x10\x11")
	check(t, err)
	p.await(t, 1)
	close(p.out)
	select {
	case err = <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	if err != nil || p.input() != "resize in:a detach" {
		t.Errorf("%v, sent is %q", err, p.input())
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	check(t, err)
	if *after != *before {
		t.Error("the terminal's mode is not given back")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	inv, _, _ := running(nil, nil, nil)
	if err := Run(context.Background(), inv, newProcess(), &api.ProcessStart{Terminal: true}, Options{DetachKeys: "ctrl-p,escape"}); err == nil || !strings.Contains(err.Error(), `"escape" is not a key`) {
		t.Errorf("%v", err)
	}
}

// TestAProcessThatHeedsNoSignalIsLetGoOf: with the third, as with Docker; else nothing but SIGKILL would end the command.
func TestAProcessThatHeedsNoSignalIsLetGoOf(t *testing.T) {
	p := newProcess()
	signals := make(chan os.Signal, 4)
	inv, _, errs := running(strings.NewReader(""), signals, nil)
	go func() {
		p.await(t, 1)
		for _, s := range []os.Signal{unix.SIGTERM, unix.SIGHUP, os.Interrupt, unix.SIGTERM} {
			signals <- s
			p.await(t, 1)
		}
		p.await(t, 1)
		close(p.out)
	}()
	err := Run(context.Background(), inv, p, &api.ProcessStart{}, Options{})
	if !errors.Is(err, cli.ErrInterrupted) || p.input() != "SIGTERM SIGHUP SIGINT SIGTERM detach" || !strings.Contains(errs.String(), "it keeps running") {
		t.Errorf("%v, sent is %q, said is %q", err, p.input(), errs)
	}
}
