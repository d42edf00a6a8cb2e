//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/exec/job"
	"github.com/orlop/orlop/runner/shim/native/join"
	"github.com/orlop/orlop/runner/shim/native/joiner"
)

// leaveTime is how long the output of a process that has ended is read, which
// what it leaves behind may hold open for ever.
const leaveTime = time.Second

// hungAfter is when a process that has not begun yet keeps others no longer: its
// container may have been paused meanwhile, and it begins when that goes on.
const hungAfter = 2 * time.Second

type server struct {
	conn       net.Conn
	answers    chan *job.Answer // what the engine is told, by one who holds no lock over that
	containers join.Known
	starting   chan struct{} // holds one for each process that is being begun
	joiner     func(scratch string) (*joiner.Joiner, error)

	mu      sync.Mutex
	running map[uint64]*running    // guarded by mu
	starts  map[chan struct{}]bool // guarded by mu; closed when a process has begun, or has not
}

// running is a process that is not reaped yet, so that its number is its own.
type running struct {
	pid       int // 0: it has not begun
	cancelled bool
	late      bool
}

func newServer(conn net.Conn) *server {
	return &server{
		conn: conn, answers: make(chan *job.Answer, 64), running: map[uint64]*running{}, starts: map[chan struct{}]bool{},
		// More at once only wait for each other's processors.
		starting: make(chan struct{}, 2*runtime.NumCPU()),
		joiner:   onlyOne(),
	}
}

// tryAgain is after how long what was refused is tried again: it may have been for want of memory, of descriptors, or of
// a program that has been installed since.
const tryAgain = time.Minute

// onlyOne makes a joiner when it is first asked for one.
func onlyOne() func(scratch string) (*joiner.Joiner, error) {
	var mu sync.Mutex
	var j *joiner.Joiner
	var err error
	var tried time.Time
	return func(scratch string) (*joiner.Joiner, error) {
		mu.Lock()
		defer mu.Unlock()
		if j == nil && (err == nil || time.Since(tried) > tryAgain) {
			j, err = joiner.New(scratch)
			tried = time.Now()
		}
		return j, err
	}
}

// serve does what it is asked for until the engine is gone, and then ends what runs.
func (s *server) serve() {
	requests := json.NewDecoder(s.conn)
	var jobs, telling sync.WaitGroup
	telling.Go(s.tell)
	for {
		var q job.Request
		if err := requests.Decode(&q); err != nil {
			break
		}
		if q.Cancel {
			s.kill(q.ID, false)
			continue
		}
		s.mu.Lock()
		s.running[q.ID] = &running{}
		s.mu.Unlock()
		jobs.Go(func() { s.do(&q) })
	}
	s.mu.Lock()
	all := make([]uint64, 0, len(s.running))
	for id := range s.running {
		all = append(all, id)
	}
	s.mu.Unlock()
	for _, id := range all {
		s.kill(id, false)
	}
	jobs.Wait()
	close(s.answers)
	telling.Wait()
}

// tell passes answers on; an engine that is gone needs none.
func (s *server) tell() {
	answers := json.NewEncoder(s.conn)
	for a := range s.answers {
		_ = answers.Encode(a)
	}
}

// kill ends the process of a job and what it has begun in its process group.
func (s *server) kill(id uint64, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.running[id]
	if r == nil {
		return
	}
	r.cancelled, r.late = true, r.late || late
	if r.pid > 0 {
		_ = unix.Kill(-r.pid, unix.SIGKILL)
		_ = unix.Kill(r.pid, unix.SIGKILL) // before it has a session
	}
}

func (s *server) do(q *job.Request) {
	a := s.run(q)
	a.ID = q.ID
	s.mu.Lock()
	delete(s.running, q.ID)
	s.mu.Unlock()
	s.answers <- a
}

func (s *server) run(q *job.Request) *job.Answer {
	c, give, err := s.containers.Take(q.State, q.Container)
	if errors.Is(err, libcontainer.ErrNotExist) { // it has been deleted meanwhile
		return &job.Answer{Error: "cannot exec in a stopped container"}
	}
	if err != nil {
		return &job.Answer{Unfit: true, Error: err.Error()}
	}
	defer give()
	p, err := processOf(q.Process)
	if err != nil {
		return &job.Answer{Unfit: true, Error: err.Error()}
	}
	from, to, err := os.Pipe()
	if err != nil {
		return &job.Answer{Unfit: true, Error: err.Error()}
	}
	defer from.Close()
	if q.Time > 0 { // to join a container takes time as well
		defer time.AfterFunc(q.Time, func() { s.kill(q.ID, true) }).Stop()
	}
	b, err := s.begin(c, p, to, q)
	to.Close()
	switch {
	case err != nil && s.isLate(q.ID):
		return &job.Answer{Late: true}
	case err != nil:
		return &job.Answer{Error: err.Error(), Detour: b.detour}
	}
	var out output
	out.limit = q.Output
	read := make(chan struct{})
	go func() { _, _ = io.Copy(&out, from); close(read) }()
	code, late, known := s.await(b, q.ID)
	select {
	case <-read:
	case <-time.After(leaveTime):
	}
	if !known {
		return &job.Answer{Output: out.String(), Error: "nobody knows how the process has ended"}
	}
	return &job.Answer{Code: code, Output: out.String(), Late: late, Detour: b.detour}
}

// processOf is a process as libcontainer has it; one with a terminal is none of ours.
func processOf(doc *specs.Process) (*libcontainer.Process, error) {
	if doc != nil && doc.Terminal {
		return nil, errors.New("a process with a terminal")
	}
	return join.ProcessOf(doc)
}

// begun is a process that has begun, and by which way.
type begun struct {
	detour string                         // why by libcontainer
	reap   func() (unix.WaitStatus, bool) // false: it was none of our children
}

// begin starts the process; one that is given up meanwhile is killed.
func (s *server) begin(c *join.Container, p *libcontainer.Process, output *os.File, q *job.Request) (b begun, err error) {
	s.starting <- struct{}{}
	leave := sync.OnceFunc(func() { <-s.starting })
	defer leave()
	defer time.AfterFunc(hungAfter, leave).Stop()
	if err := join.Possible(c.Container); err != nil {
		return b, err
	}
	over := make(chan struct{})
	s.mu.Lock()
	s.starts[over] = true
	s.mu.Unlock()
	pid, err := s.join(c, p, output, q)
	b.reap = func() (unix.WaitStatus, bool) { return reapChild(pid) }
	if joiner.IsRefused(err) && !s.isCancelled(q.ID) {
		b.detour = err.Error()
		p.Stdout, p.Stderr = output, output
		if err = c.Run(p); err == nil {
			pid, _ = p.Pid() // it has begun, so it has one
			b.reap = func() (unix.WaitStatus, bool) { return reapOf(p) }
		}
	}
	s.mu.Lock()
	delete(s.starts, over)
	close(over)
	if err != nil {
		s.running[q.ID].pid = 0
		s.reapStrangers()
		s.mu.Unlock()
		return b, err
	}
	s.mu.Unlock()
	s.isNow(q.ID, pid)
	return b, nil
}

// left is what is known of how processes join a container.
type left struct {
	plain *joiner.Container // nil: they join by libcontainer
	err   error             // why the last one was refused, or all are
	args  []string          // of that one
	at    time.Time         // when it was
}

// join starts the process without libcontainer. What was refused is so for a while without being tried again.
func (s *server) join(c *join.Container, p *libcontainer.Process, output *os.File, q *job.Request) (int, error) {
	j, err := s.joiner(q.State)
	if err != nil {
		return 0, joiner.Refusal(err)
	}
	l, _ := c.Left.(*left)
	if l == nil || l.plain == nil && time.Since(l.at) >= tryAgain {
		l = &left{at: time.Now()}
		l.plain, l.err = joiner.Of(c.Container)
		c.Left = l
	}
	if l.plain == nil || l.err != nil && time.Since(l.at) < tryAgain && slices.Equal(l.args, p.Args) {
		return 0, joiner.Refusal(l.err)
	}
	pid, err := j.Join(l.plain, p, output, func(pid int) { s.isNow(q.ID, pid) })
	l.args, l.err = p.Args, nil
	if joiner.IsRefused(err) {
		l.err, l.at = err, time.Now()
	}
	return pid, err
}

// isNow notes which process is to be killed when a job is given up, and kills it when that has happened.
func (s *server) isNow(id uint64, pid int) {
	s.mu.Lock()
	r := s.running[id]
	r.pid = pid
	cancelled, late := r.cancelled, r.late
	s.mu.Unlock()
	if cancelled {
		s.kill(id, late)
	}
}

func (s *server) isCancelled(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[id].cancelled
}

func (s *server) isLate(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[id].late
}

// await returns when the process has ended and is reaped.
func (s *server) await(b begun, id uint64) (code int, late, known bool) {
	s.mu.Lock()
	pid := s.running[id].pid
	s.mu.Unlock()
	for { // it stays a zombie, whose number nobody else gets
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[id].pid = 0
	status, known := b.reap()
	return exitCode(status), s.running[id].late, known
}

func reapChild(pid int) (status unix.WaitStatus, known bool) {
	for {
		got, err := unix.Wait4(pid, &status, 0, nil)
		if err != unix.EINTR {
			return status, got == pid
		}
	}
}

// reapOf reaps a process of libcontainer's.
func reapOf(p *libcontainer.Process) (unix.WaitStatus, bool) {
	state, _ := p.Wait() // its error is that the exit code is not 0
	if state == nil {
		return 0, false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return unix.WaitStatus(status), ok
}

// exitCode is what a shell says of a process that has ended.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// output keeps the first bytes of what is written.
type output struct {
	mu    sync.Mutex
	limit int
	text  bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := o.limit - o.text.Len(); room > 0 {
		o.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
