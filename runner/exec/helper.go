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
	"strings"
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
// any more. Each costs a fraction of one that goes through a shim.
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
	conn     net.Conn
	ended    chan struct{}     // closed when it is gone
	deaf     chan struct{}     // closed when no answer is to come any more
	requests chan *job.Request // what it is to be told, by one who holds no lock over that

	mu      sync.Mutex
	waiting map[uint64]chan *job.Answer // guarded by mu; nil once it is gone
}

// endTime bounds how long a helper may take to end what it runs, and itself.
const endTime = 3 * time.Second

// hangTime is how long an answer is waited for when the time of a process is over, or it is
// not wanted any more: one that hangs while it joins its container can't be ended.
const hangTime = 5 * time.Second

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
	if a != nil && a.Detour != "" {
		h.Log.Debug("a process has joined a container by libcontainer", "container", task.ID(), "reason", a.Detour)
	}
	switch {
	case errors.Is(err, errLost) && ctx.Err() == nil && !h.isRetired(): // which says nothing of the process
		return Run(ctx, task, doc, b)
	case errors.Is(err, errHangs):
		return -1, "", timedOut(b.Time, "")
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

func (h *Helper) isRetired() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.retired
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
	last := &words{}
	cmd.Stderr, cmd.WaitDelay = last, time.Second
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	l := newLink(conn)
	go func() {
		defer close(l.ended)
		l.listen()
		late := time.AfterFunc(endTime, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		late.Stop()
		if text := last.text(); text != "" {
			h.Log.Warn("the helper for processes in containers has ended", "error", err, "said", text)
		}
	}()
	return l, nil
}

// newLink is a helper at the other end of a socket, which is told what it is to do; what it answers is for listen.
func newLink(conn net.Conn) *link {
	l := &link{
		conn: conn, ended: make(chan struct{}), deaf: make(chan struct{}), requests: make(chan *job.Request, 64), waiting: map[uint64]chan *job.Answer{},
	}
	go l.tell()
	return l
}

// words are the first that a helper says before it ends.
type words struct {
	mu   sync.Mutex
	said []byte // guarded by mu
}

// mostWords is how many bytes of them are kept.
const mostWords = 4 << 10

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, p[:min(len(p), mostWords-len(w.said))]...)
	return len(p), nil
}

func (w *words) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.TrimSpace(string(w.said))
}

// tell passes requests on until the helper is gone.
func (l *link) tell() {
	requests := json.NewEncoder(l.conn)
	for {
		select {
		case q := <-l.requests:
			if err := requests.Encode(q); err != nil {
				l.conn.Close() // listen finds it gone
				return
			}
		case <-l.deaf:
			return
		}
	}
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
	close(l.deaf)
	l.conn.Close()
}

// errHangs is of a process that neither ends nor can be ended.
var errHangs = errors.New("it hangs")

// ask has a job done, or ended with ctx: it returns when the process has ended, as a container
// must not be paused while one is half-way into it, but does not wait for ever.
func (l *link) ask(ctx context.Context, q *job.Request) (*job.Answer, error) {
	answer := make(chan *job.Answer, 1)
	l.mu.Lock()
	if l.waiting == nil {
		l.mu.Unlock()
		return nil, errLost
	}
	l.waiting[q.ID] = answer
	l.mu.Unlock()
	if !l.send(q) {
		return nil, errLost
	}
	var late <-chan time.Time
	if q.Time > 0 {
		timer := time.NewTimer(q.Time + hangTime)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case a := <-answer:
		return given(a)
	case <-late:
		l.cancel(q.ID)
		return nil, errHangs
	case <-ctx.Done():
	}
	l.cancel(q.ID)
	timer := time.NewTimer(hangTime)
	defer timer.Stop()
	select {
	case <-answer:
	case <-timer.C:
	}
	return nil, context.Cause(ctx)
}

// given is an answer; nil stands for that of a helper that is gone.
func given(a *job.Answer) (*job.Answer, error) {
	if a == nil {
		return nil, errLost
	}
	return a, nil
}

func (l *link) cancel(id uint64) { l.send(&job.Request{ID: id, Cancel: true}) }

// send says whether the helper is there to be told.
func (l *link) send(q *job.Request) bool {
	select {
	case l.requests <- q:
		return true
	case <-l.deaf:
		return false
	}
}
