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
	"sync"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/exec/job"
	"github.com/orlop/orlop/runner/shim/native/join"
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
	p.Stdout, p.Stderr = to, to
	if q.Time > 0 { // to join a container takes time as well
		defer time.AfterFunc(q.Time, func() { s.kill(q.ID, true) }).Stop()
	}
	err = s.begin(c, p, q.ID)
	to.Close()
	if err != nil {
		return &job.Answer{Error: err.Error()}
	}
	var out output
	out.limit = q.Output
	read := make(chan struct{})
	go func() { _, _ = io.Copy(&out, from); close(read) }()
	state, late := s.await(p, q.ID)
	select {
	case <-read:
	case <-time.After(leaveTime):
	}
	if state == nil {
		return &job.Answer{Output: out.String(), Error: "nobody knows how the process has ended"}
	}
	return &job.Answer{Code: exitCode(state), Output: out.String(), Late: late}
}

// processOf is a process as libcontainer has it; one with a terminal is none of ours.
func processOf(doc *specs.Process) (*libcontainer.Process, error) {
	if doc != nil && doc.Terminal {
		return nil, errors.New("a process with a terminal")
	}
	return join.ProcessOf(doc)
}

// begin starts the process; one that is given up meanwhile is killed.
func (s *server) begin(c *libcontainer.Container, p *libcontainer.Process, id uint64) error {
	s.starting <- struct{}{}
	leave := sync.OnceFunc(func() { <-s.starting })
	defer leave()
	defer time.AfterFunc(hungAfter, leave).Stop()
	if err := join.Possible(c); err != nil {
		return err
	}
	over := make(chan struct{})
	s.mu.Lock()
	s.starts[over] = true
	s.mu.Unlock()
	err := c.Run(p)
	s.mu.Lock()
	delete(s.starts, over)
	close(over)
	if err != nil {
		s.reapStrangers()
		s.mu.Unlock()
		return err
	}
	r := s.running[id]
	r.pid, _ = p.Pid() // it has begun, so it has one
	cancelled, late := r.cancelled, r.late
	s.mu.Unlock()
	if cancelled {
		s.kill(id, late)
	}
	return nil
}

// await returns when the process has ended and is reaped.
func (s *server) await(p *libcontainer.Process, id uint64) (state *os.ProcessState, late bool) {
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
	state, _ = p.Wait() // its error is that the exit code is not 0
	return state, s.running[id].late
}

// exitCode is what a shell says of a process that has ended.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(unix.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
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
