package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/engine/rootlock"
	"github.com/orlop/orlop/runner"
)

func TestAnErrorKeepsItsWordsOnItsWay(t *testing.T) {
	theirs := status.Error(codes.NotFound, "no such build")
	for name, c := range map[string]struct {
		err  error
		code codes.Code
		text string
	}{
		"none":                    {nil, codes.OK, ""},
		"one of ours":             {errors.New("port 8080 is in use"), codes.Unknown, "port 8080 is in use"},
		"not running":             {fmt.Errorf("web/1 %w", runner.ErrNotRunning), codes.FailedPrecondition, "web/1 " + runner.ErrNotRunning.Error()},
		"the caller is gone":      {context.Canceled, codes.Canceled, "context canceled"},
		"ended by somebody":       {&endedError{by: "down of shop"}, codes.Unknown, "ended by down of shop"},
		"one that has its status": {theirs, codes.NotFound, "no such build"},
	} {
		got := status.Convert(asStatus(c.err))
		if got.Code() != c.code || got.Message() != c.text {
			t.Errorf("%s: %s, %q", name, got.Code(), got.Message())
		}
	}
}

// TestWhoIsLetIn: who would be misread is told what to do; status and the end may
// be asked for by every command; nobody once the engine ends.
func TestWhoIsLetIn(t *testing.T) {
	e := &Engine{cfg: Config{Version: "v9"}}
	speaks := func(protocol string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.Pairs("orlop-protocol", protocol))
	}
	ours := speaks(fmt.Sprint(api.Protocol))
	for name, c := range map[string]struct {
		ctx    context.Context
		method string
		in     bool
	}{
		"our protocol":                      {ours, api.Engine_Apply_FullMethodName, true},
		"an older one":                      {t.Context(), api.Engine_Apply_FullMethodName, false},
		"a newer one":                       {speaks("999"), api.Engine_Apply_FullMethodName, false},
		"a newer one that asks what we are": {speaks("999"), api.Engine_Status_FullMethodName, true},
		"buildx":                            {t.Context(), "/moby.buildkit.v1.Control/Solve", true},
	} {
		done, err := e.admit(c.ctx, c.method)
		if (err == nil) != c.in || (done == nil) != (err != nil) {
			t.Errorf("%s: %v", name, err)
		}
		if done != nil {
			done()
		}
	}
	done, err := e.admit(ours, api.Engine_Apply_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	if e.work.End(0) {
		t.Error("the end does not wait for a call")
	}
	if _, err := e.admit(ours, api.Engine_Apply_FullMethodName); status.Code(err) != codes.Unavailable {
		t.Errorf("a call after the end: %v", err)
	}
	done()
	if !e.work.End(0) {
		t.Error("the end waits for what has ended")
	}
}

// plainStream gives the same message again and again.
type plainStream struct {
	grpc.ServerStream
	ctx  context.Context
	says string // the project that its messages are about
	err  error
}

func (s *plainStream) Context() context.Context { return s.ctx }

func (s *plainStream) RecvMsg(m any) error {
	m.(*api.HoldInput).Project = s.says
	return s.err
}

// TestAStreamIsAboutTheProjectItNames: from its first message to its end.
func TestAStreamIsAboutTheProjectItNames(t *testing.T) {
	d := newDesk(t)
	in := &plainStream{ctx: t.Context(), says: "shop"}
	err := d.serveStream(nil, in, func(_ any, stream grpc.ServerStream) error {
		if ns, _ := namespaces.Namespace(stream.Context()); ns != Namespace {
			t.Errorf("its namespace is %q", ns)
		}
		if d.inUse("shop") {
			t.Error("it is about a project that it has not named")
		}
		for _, project := range []string{"shop", "shop", "other"} {
			in.says = project
			if err := stream.RecvMsg(&api.HoldInput{}); err != nil {
				t.Fatal(err)
			}
		}
		if !d.inUse("shop") || d.inUse("other") || d.callers["shop"] != 1 {
			t.Errorf("it is about %v", d.callers)
		}
		return nil
	})
	if err != nil || d.inUse("shop") {
		t.Errorf("after its end: %v, in use %t", err, d.inUse("shop"))
	}
	in.says, in.err = "shop", io.EOF
	_ = d.serveStream(nil, in, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(&api.HoldInput{}); !errors.Is(err, io.EOF) || d.inUse("shop") {
			t.Errorf("a message that did not come counts: %v", err)
		}
		return nil
	})
}

// TestAStreamEndsWithTheEngine: its caller is told to go on with the next one,
// whatever the call itself says.
func TestAStreamEndsWithTheEngine(t *testing.T) {
	d := newDesk(t)
	in := &plainStream{ctx: t.Context()}
	err := d.serveStream(nil, in, func(_ any, stream grpc.ServerStream) error {
		d.cancel(errShutdown)
		<-stream.Context().Done()
		if cause := context.Cause(stream.Context()); !errors.Is(cause, errShutdown) {
			t.Errorf("it ends for %v", cause)
		}
		return context.Canceled
	})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("its caller is told %v", err)
	}
}

func TestChunksAreReadAsOne(t *testing.T) {
	chunks := []string{"", "ab", "", "cdefgh", "i"}
	end := io.EOF
	r := &chunkReader{recv: func() (*api.Chunk, error) {
		if len(chunks) == 0 {
			return nil, end
		}
		c := &api.Chunk{Data: []byte(chunks[0])}
		chunks = chunks[1:]
		return c, nil
	}}
	var got []string
	buf := make([]byte, 4)
	for {
		n, err := r.Read(buf)
		if err != nil {
			break
		}
		got = append(got, string(buf[:n]))
	}
	if strings.Join(got, "|") != "ab|cdef|gh|i" {
		t.Errorf("it reads %q", got)
	}
	end = errors.New("the caller is gone")
	if _, err := r.Read(buf); !errors.Is(err, end) {
		t.Errorf("it ends with %v", err)
	}
}

func TestARunWithoutAProjectIsRefused(t *testing.T) {
	if _, err := newDesk(t).create(t.Context(), &api.CreateRequest{Service: "web"}, func(string) {}); err == nil {
		t.Error("it is made")
	}
}

func TestARunOfAServiceThatIsNotThereIsRefused(t *testing.T) {
	d := newDesk(t)
	_, err := d.create(t.Context(), &api.CreateRequest{Apply: shopRequest(), Service: "wep"}, func(string) {})
	if err == nil || err.Error() != `no service named "wep" in the stack file` || len(d.locks.lines) != 0 {
		t.Errorf("%v, %d locks", err, len(d.locks.lines))
	}
}

// TestWhatNeedsBuildKitWaitsForIt: as long as its caller does.
func TestWhatNeedsBuildKitWaitsForIt(t *testing.T) {
	broken := errors.New("the cache is damaged")
	e := &Engine{kitReady: make(chan struct{}), kitErr: broken}
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := &endedError{by: "down of shop"}
	cancel(ended)
	if err := e.needKit(ctx); !errors.Is(err, ended) {
		t.Errorf("it says %v", err)
	}
	close(e.kitReady)
	if err := e.needKit(t.Context()); !errors.Is(err, broken) {
		t.Errorf("it says %v", err)
	}
}

func TestOneEngineOwnsARoot(t *testing.T) {
	root := t.TempDir()
	f, err := rootlock.Take(root, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	_, err = rootlock.Take(root, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(process %d) owns %s", os.Getpid(), root)) {
		t.Errorf("another one is told %v", err)
	}
	f.Close()
	if err := os.WriteFile(filepath.Join(root, "engine.lock"), []byte("123456789\n"), 0o600); err != nil { // of one that died
		t.Fatal(err)
	}
	f, err = rootlock.Take(root, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if text, err := os.ReadFile(f.Name()); err != nil || string(text) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("it says that %q owns it, %v", text, err)
	}
}

func TestStatusTellsWhatIsBeingDone(t *testing.T) {
	d := newDesk(t)
	first, second := d.doing("apply shop"), d.doing("apply shop")
	third := d.doing("down blog")
	first()
	reply, err := d.Status(d.ctx, &api.StatusRequest{})
	if err != nil || strings.Join(reply.Activities, "|") != "apply shop|down blog" {
		t.Errorf("it does %q, %v", reply.GetActivities(), err)
	}
	if reply.Protocol != api.Protocol || reply.Version != "v1" || reply.KeeperPid != 0 {
		t.Errorf("it is %v", reply)
	}
	second()
	third()
	if len(d.now()) > 0 {
		t.Errorf("all is done, and it does %q", d.now())
	}
}

// TestWhatChangesThingsNamesItsProject: what is of no project would be all that
// there is.
func TestWhatChangesThingsNamesItsProject(t *testing.T) {
	d := newDesk(t)
	served := func(serve func(*mailbox.Box) error) error {
		return mailbox.Serve(func(*api.Progress) error { return nil }, serve)
	}
	nameless := shopRequest()
	nameless.Project = []byte(`{"services":{}}`)
	held := newHoldStream(d.ctx)
	held.says <- &api.HoldInput{Caller: "a"}
	close(held.says)
	for name, err := range map[string]error{
		"hold":  d.Hold(held),
		"apply": served(func(box *mailbox.Box) error { return d.apply(d.ctx, nameless, box) }),
		"down":  served(func(box *mailbox.Box) error { return d.down(d.ctx, &api.DownRequest{}, box) }),
		"stop":  served(func(box *mailbox.Box) error { return d.lifecycle(d.ctx, &api.LifecycleRequest{Action: "stop"}, box) }),
		"kill":  served(func(box *mailbox.Box) error { return d.lifecycle(d.ctx, &api.LifecycleRequest{Action: "kill"}, box) }),
	} {
		if !errors.Is(err, errNoProject) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.Plan(d.ctx, nameless); !errors.Is(err, errNoProject) {
		t.Errorf("plan: %v", err)
	}
}
