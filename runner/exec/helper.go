package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/exec/job"
	"github.com/orlop/orlop/runner/shim"
)

// Helper runs processes to their end through the program orlop-exec, which is
// started when it is first needed, again when it is lost, and ends when nobody uses it
// any more. Each costs a third of one that goes through a shim and runc.
type Helper struct {
	Program string // path of orlop-exec
	State   string // the directory in which runc notes its containers
	Log     *slog.Logger

	mu      sync.Mutex
	link    *link  // guarded by mu
	number  uint64 // guarded by mu; of the last job
	users   int    // guarded by mu
	retired bool   // guarded by mu
}

// link is a helper that runs.
type link struct {
	conn  net.Conn
	ended chan struct{} // closed when it is gone

	mu       sync.Mutex
	requests *json.Encoder               // guarded by mu
	waiting  map[uint64]chan *job.Answer // guarded by mu; nil once it is gone
}

// endTime bounds how long a helper may take to end what it runs, and itself.
const endTime = 3 * time.Second

// errLost is of a job whose helper is gone: nobody knows what became of it.
var errLost = errors.New("the engine's helper for processes in containers has ended (orlop-exec)")

// For is the helper where a container is the engine's own runc's, and nil where it
// is another runtime's.
func (h *Helper) For(own bool) *Helper {
	if own {
		return h
	}
	return nil
}

// Use keeps the helper from one process to the next, until release is called.
func (h *Helper) Use() (release func()) {
	if h == nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.users--; h.users == 0 && h.link != nil {
			h.link.conn.Close()
			h.link = nil
		}
	}
}

// Run runs a process in a task that the engine's own runc has made, as [Run] does.
func (h *Helper) Run(ctx context.Context, task containerd.Task, doc *specs.Process, b Bounds) (code int, output string, err error) {
	if h == nil || h.Program == "" || doc.Terminal {
		return Run(ctx, task, doc, b)
	}
	l, id, err := h.reach()
	if err != nil {
		h.Log.Warn("cannot start the helper for processes in containers", "program", h.Program, "error", err)
		return Run(ctx, task, doc, b)
	}
	a, err := l.ask(ctx, &job.Request{ID: id, State: h.State, Container: task.ID(), Process: doc, Output: b.Output, Time: b.Time})
	switch {
	case err != nil:
		return -1, "", err
	case a.Unfit:
		h.Log.Warn("a process joins a container by way of its shim", "container", task.ID(), "error", a.Error)
		return Run(ctx, task, doc, b)
	case a.Error != "":
		return -1, a.Output, shim.Explain(fmt.Errorf("OCI runtime exec failed: exec failed: %s", a.Error))
	case a.Late:
		return -1, a.Output, timedOut(b.Time, a.Output)
	default:
		return a.Code, a.Output, nil
	}
}

// Close ends the helper, and with it what it runs. Nothing is run by it any more.
func (h *Helper) Close() {
	if h == nil {
		return
	}
	h.mu.Lock()
	h.retired = true
	l := h.link
	h.mu.Unlock()
	if l != nil {
		l.conn.Close()
		<-l.ended
	}
}

// reach is the helper that runs, begun if there is none, and a number for a job.
func (h *Helper) reach() (*link, uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retired {
		return nil, 0, errLost
	}
	h.number++
	if h.link == nil || h.link.isGone() {
		l, err := h.start()
		if err != nil {
			return nil, 0, err
		}
		h.link = l
	}
	return h.link, h.number, nil
}

func (h *Helper) start() (*link, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	its := os.NewFile(uintptr(fds[1]), "helper's socket")
	defer its.Close()
	mine := os.NewFile(uintptr(fds[0]), "socket of the helper")
	conn, err := net.FileConn(mine)
	mine.Close()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(h.Program)
	cmd.Dir, cmd.Env, cmd.ExtraFiles = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, []*os.File{its}
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	l := &link{conn: conn, ended: make(chan struct{}), requests: json.NewEncoder(conn), waiting: map[uint64]chan *job.Answer{}}
	go func() {
		defer close(l.ended)
		l.listen()
		late := time.AfterFunc(endTime, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
	}()
	return l, nil
}

// isGone says that no answer is to come any more.
func (l *link) isGone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting == nil
}

// listen hands answers over until the helper is gone.
func (l *link) listen() {
	answers := json.NewDecoder(l.conn)
	for {
		a := &job.Answer{}
		if err := answers.Decode(a); err != nil {
			break
		}
		l.mu.Lock()
		to := l.waiting[a.ID]
		delete(l.waiting, a.ID)
		l.mu.Unlock()
		if to != nil {
			to <- a
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, to := range l.waiting {
		close(to)
	}
	l.waiting = nil
	l.conn.Close()
}

// ask has a job done, or ended with ctx.
func (l *link) ask(ctx context.Context, q *job.Request) (*job.Answer, error) {
	answer := make(chan *job.Answer, 1)
	l.mu.Lock()
	if l.waiting == nil {
		l.mu.Unlock()
		return nil, errLost
	}
	l.waiting[q.ID] = answer
	err := l.requests.Encode(q)
	l.mu.Unlock()
	if err != nil {
		return nil, errLost
	}
	select {
	case a, ok := <-answer:
		if !ok {
			return nil, errLost
		}
		return a, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.waiting != nil {
			_ = l.requests.Encode(&job.Request{ID: q.ID, Cancel: true})
		}
		return nil, context.Cause(ctx)
	}
}
