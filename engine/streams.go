package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/loglines"
	"github.com/orlop/orlop/engine/target"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/runner/logs/merge"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/spec/secret"
)

// Logs sends what containers printed.
func (s *server) Logs(req *api.LogsRequest, stream api.Engine_LogsServer) error {
	var mask *secret.Mask // hides nothing
	if req.Masked {
		mask = s.runner.Mask(req.Project)
	}
	to := loglines.Sender{Mask: mask, Batched: req.Batched, To: func(l *api.LogLine) error {
		var encoded grpc.PreparedMsg // so that the line is the sender's again
		if err := encoded.Encode(stream, l); err != nil {
			return err
		}
		return stream.SendMsg(&encoded)
	}}
	err := merge.Read(stream.Context(), s.runner, req.Project, logOptions(req), to.Line, to.Flush)
	if unsent := to.Flush(); err == nil { // what was read before an error is shown
		err = unsent
	}
	return err
}

// logOptions are those of a request: a time of 0 is none.
func logOptions(req *api.LogsRequest) merge.Options {
	opts := merge.Options{
		Services: req.Services, Containers: req.Containers, Follow: req.Follow, UntilEnded: req.UntilEnded, Number: int(req.Index), Selection: logs.Selection{Tail: int(req.Tail)},
	}
	if req.SinceUnixNs != 0 {
		opts.Since = time.Unix(0, req.SinceUnixNs)
	}
	if req.UntilUnixNs != 0 {
		opts.Until = time.Unix(0, req.UntilUnixNs)
	}
	return opts
}

// Create makes a container for "run".
func (s *server) Create(req *api.CreateRequest, stream api.Engine_CreateServer) error {
	made, err := s.create(stream.Context(), req, func(text string) {
		_ = stream.Send(&api.CreateReply{Notice: text}) // one that is gone needs no words
	})
	if err != nil {
		stream.SetTrailer(api.ExitCode(notRun(err)))
		return err
	}
	return stream.Send(made)
}

func (s *server) create(ctx context.Context, req *api.CreateRequest, notice func(string)) (*api.CreateReply, error) {
	j, err := s.decode(req.Apply)
	if err != nil {
		return nil, err
	}
	if j.project.Services[req.Service] == nil {
		return nil, fmt.Errorf("no service named %q in the stack file", req.Service)
	}
	claim := newClaim(ctx, "run", j.project.Name)
	claim.starts = true
	ctx, release, err := s.locks.take(ctx, j.project.Name, claim, notice)
	if err != nil {
		return nil, err
	}
	defer release()
	defer s.planned.Hold(j.project.ImageNames())()
	ctx, unlock := s.gate.Locked(ctx, nil, req.Apply.Locked)
	defer unlock()
	s.noteInstance(j)
	s.keepPayloads(j, req.Apply.Payloads)
	// What is begun is finished, though the caller goes away, as with any step.
	one := j.oneOff(req.Service, req.Name)
	one.AutoRemove, one.UseAliases = req.Remove, req.UseAliases
	made, err := s.runner.CreateOneOff(context.WithoutCancel(ctx), one, j.project.Places, req.Detach)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil && !req.Detach {
		s.runner.Abandon(context.WithoutCancel(ctx), made.ID)
	}
	return &api.CreateReply{Id: made.ID, Name: made.Name, Warnings: made.Warnings}, s.store.Flush()
}

// processStream is a stream that a process is driven over.
type processStream interface {
	Context() context.Context
	Send(*api.ProcessOutput) error
	Recv() (*api.ProcessInput, error)
}

// Exec runs a process in a container.
func (s *server) Exec(stream api.Engine_ExecServer) error {
	start, err := receiveStart(stream)
	if err != nil {
		return err
	}
	id, err := target.Of(start, s.runner.Containers(start.Project))
	if err != nil {
		return err
	}
	opts := runner.ProcessOptions{
		Command: start.Command, Terminal: start.Terminal, User: start.User, WorkingDir: start.WorkingDir,
		Environment: start.Environment, Privileged: start.Privileged,
		Columns: start.Size.GetColumns(), Rows: start.Size.GetRows(),
	}
	if start.Detach {
		clean := context.WithoutCancel(stream.Context())
		p, err := s.runner.Exec(clean, id, opts, nil, io.Discard, io.Discard)
		if err != nil {
			return err
		}
		go func() {
			if _, err := p.Wait(clean); err != nil {
				s.log.Debug("a detached process ended badly", "error", err)
			}
		}()
		return stream.Send(&api.ProcessOutput{Of: &api.ProcessOutput_Started{Started: true}})
	}
	return s.drive(stream, start, func(ctx context.Context, in io.Reader, out, errOut io.Writer) (*exec.Process, error) {
		return s.runner.Exec(ctx, id, opts, in, out, errOut)
	})
}

// Attach starts a container made by Create and connects to its process, or joins that of
// one that runs.
func (s *server) Attach(stream api.Engine_AttachServer) error {
	start, err := receiveStart(stream)
	if err != nil {
		return err
	}
	id, err := target.Of(start, s.runner.Containers(start.Project))
	if err != nil {
		return err
	}
	return s.drive(stream, start, func(ctx context.Context, in io.Reader, out, errOut io.Writer) (*exec.Process, error) {
		if start.Join {
			return s.join(ctx, id, start, in, out, errOut)
		}
		p, err := s.runner.Attach(ctx, id, in, out, errOut)
		if err == nil && start.Terminal && start.Size != nil {
			_ = p.Resize(ctx, start.Size.Columns, start.Size.Rows)
		}
		return p, err
	})
}

// join connects to the process of a container that runs. What a terminal shows is drawn
// anew when its size changes, so it has another for a moment.
func (s *server) join(ctx context.Context, id string, start *api.ProcessStart, in io.Reader, out, errOut io.Writer) (*exec.Process, error) {
	p, err := s.runner.Join(id, in, out, errOut)
	if err == nil && start.Terminal && start.Size != nil {
		_ = p.Resize(ctx, start.Size.Columns, start.Size.Rows+1)
		_ = p.Resize(ctx, start.Size.Columns, start.Size.Rows)
	}
	return p, err
}

func receiveStart(stream processStream) (*api.ProcessStart, error) {
	msg, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	start := msg.GetStart()
	if start == nil {
		return nil, errors.New("internal error: the first message of a process is not its start")
	}
	return start, nil
}

// drive connects a stream with a process until the process has ended.
func (s *server) drive(stream processStream, start *api.ProcessStart, run func(ctx context.Context, in io.Reader, out, errOut io.Writer) (*exec.Process, error)) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	// The process has its caller's life until that lets go of it.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	letGo := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	out := newOutput(stream)
	feed, in, closeInput := inputOf(start)
	p, err := run(life, in, out.writer(false), out.writer(true))
	if err != nil {
		closeInput()
	}
	if code := notRun(err); code != 0 {
		if err := out.send(&api.ProcessOutput{Of: &api.ProcessOutput_Stderr{Stderr: []byte(err.Error() + "\n")}}); err != nil {
			return err
		}
		return out.send(&api.ProcessOutput{Of: &api.ProcessOutput_ExitCode{ExitCode: code}})
	}
	if err != nil {
		return err
	}
	if err := out.send(&api.ProcessOutput{Of: &api.ProcessOutput_Started{Started: true}}); err != nil {
		end(err)
		_, _ = p.Wait(life) // it ends with its caller, who is gone
		closeInput()
		return err
	}
	detached := make(chan struct{})
	go func() { cancel(receive(ctx, stream, p, feed, detached)) }()
	var code int
	ended := make(chan error, 1)
	go func() {
		var err error
		code, err = p.Wait(life)
		closeInput()
		end(nil)
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-detached:
		letGo()
		out.discard()
		if start.Join { // it goes on without anybody
			end(nil)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if err := out.send(&api.ProcessOutput{Of: &api.ProcessOutput_ExitCode{ExitCode: int32(code)}}); err != nil {
		return err
	}
	p.AwaitOver(ctx) // the end of the stream says that it is
	return nil
}

// inputOf is the standard input that a process is asked to have: the end that
// feeds it, and the end that it reads, which is nil where it has none.
func inputOf(start *api.ProcessStart) (feed *io.PipeWriter, in io.Reader, closeInput func()) {
	if !start.Stdin {
		return nil, nil, func() {}
	}
	stdin, feed := io.Pipe()
	return feed, stdin, func() { stdin.Close() }
}

// notRun is the exit code of a process that could not be begun for its
// program's sake; 0 for any other error.
func notRun(err error) int32 {
	if bad, ok := errors.AsType[*shim.RuncError](err); ok {
		return int32(bad.Code)
	}
	return 0
}

// receive hands on what the caller sends. It returns when the caller is gone;
// a caller that only has nothing more to say is not. It closes detached when the
// caller lets go of the process.
func receive(ctx context.Context, stream processStream, p *exec.Process, feed *io.PipeWriter, detached chan<- struct{}) error {
	for {
		msg, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if feed != nil {
				feed.Close()
			}
			<-ctx.Done()
			return nil
		}
		if err != nil {
			return err
		}
		switch in := msg.Of.(type) {
		case *api.ProcessInput_Detach:
			close(detached)
			<-ctx.Done()
			return nil
		case *api.ProcessInput_Stdin:
			if feed != nil {
				if _, err := feed.Write(in.Stdin); err != nil {
					feed = nil
				}
			}
		case *api.ProcessInput_CloseStdin:
			if feed != nil {
				feed.Close()
			}
		case *api.ProcessInput_Resize:
			_ = p.Resize(ctx, in.Resize.Columns, in.Resize.Rows)
		case *api.ProcessInput_Signal:
			_ = p.Signal(ctx, in.Signal)
		}
	}
}

// output sends the two streams of a process over one.
type output struct {
	lock   chan struct{}
	stream processStream
	gone   bool // guarded by lock: nobody reads it any more
}

func newOutput(stream processStream) *output {
	return &output{lock: make(chan struct{}, 1), stream: stream}
}

func (o *output) send(m *api.ProcessOutput) error {
	o.lock <- struct{}{}
	defer func() { <-o.lock }()
	if o.gone {
		return nil
	}
	return o.stream.Send(m)
}

// discard drops what is printed from now on.
func (o *output) discard() {
	o.lock <- struct{}{}
	o.gone = true
	<-o.lock
}

func (o *output) writer(stderr bool) io.Writer { return &outputWriter{o: o, stderr: stderr} }

type outputWriter struct {
	o      *output
	stderr bool
}

func (w *outputWriter) Write(p []byte) (int, error) {
	data := append([]byte(nil), p...)
	m := &api.ProcessOutput{Of: &api.ProcessOutput_Stdout{Stdout: data}}
	if w.stderr {
		m = &api.ProcessOutput{Of: &api.ProcessOutput_Stderr{Stderr: data}}
	}
	if err := w.o.send(m); err != nil {
		return 0, err
	}
	return len(p), nil
}
