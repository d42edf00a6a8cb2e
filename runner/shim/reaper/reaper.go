// Package reaper tells of the ends of child processes in a program that others
// begin children in, too, and wait for them: it reaps those that it was told to watch,
// leaves those that a call under way may be waiting for, and reaps what
// belongs to nobody, as a process that is given the orphans of others gets.
package reaper

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit is the end of a process.
type Exit struct {
	Pid  int
	Code int // as a shell says it: 128 and the signal, of one that was killed
	At   time.Time
}

// hungAfter is when a call that is under way is no longer waited for: what it leaves as
// a zombie then is taken for nobody's.
const hungAfter = 2 * time.Second

// Reaper reaps the children of its process.
type Reaper struct {
	wake chan struct{}

	mu      sync.Mutex
	watched map[int]func(Exit)     // guarded by mu
	calls   map[chan struct{}]bool // guarded by mu; closed when they are over
	sorting bool                   // guarded by mu; somebody finds out whose a zombie is
}

// New is a Reaper, which reaps once it runs.
func New() *Reaper {
	return &Reaper{wake: make(chan struct{}, 1), watched: map[int]func(Exit){}, calls: map[chan struct{}]bool{}}
}

// Call notes that children may be begun and waited for by somebody else, until over is called.
// A child that is to be watched is Watched before.
func (r *Reaper) Call() (over func()) {
	done := make(chan struct{})
	r.mu.Lock()
	r.calls[done] = true
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		delete(r.calls, done)
		r.mu.Unlock()
		close(done)
	}
}

// Watch has ended called when a child has ended, in a goroutine of its own.
func (r *Reaper) Watch(pid int, ended func(Exit)) {
	r.mu.Lock()
	r.watched[pid] = ended
	r.mu.Unlock()
	r.look()
}

func (r *Reaper) look() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run reaps until ctx is done.
func (r *Reaper) Run(ctx context.Context) {
	signals := make(chan os.Signal, 1) // one tells of all that have ended by the time it is read
	signal.Notify(signals, unix.SIGCHLD)
	defer signal.Stop(signals)
	for {
		r.collect()
		select {
		case <-ctx.Done():
			return
		case <-signals:
		case <-r.wake:
		}
	}
}

// collect reaps the watched that have ended. The kernel tells of the zombie that is its
// first: one that is not to be reaped yet hides the others, for which each is asked about.
func (r *Reaper) collect() {
	for {
		first := zombie()
		if first == 0 {
			return
		}
		if r.reap(first) {
			continue
		}
		r.mu.Lock()
		all := make([]int, 0, len(r.watched))
		for pid := range r.watched {
			all = append(all, pid)
		}
		if !r.sorting {
			r.sorting = true
			go r.sort(first)
		}
		r.mu.Unlock()
		for _, pid := range all {
			r.reap(pid)
		}
		return
	}
}

// reap reaps a child that is watched and has ended.
func (r *Reaper) reap(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended, ok := r.watched[pid]
	if !ok {
		return false
	}
	var status unix.WaitStatus
	if got, err := wait(pid, &status); err != nil || got != pid {
		return false
	}
	delete(r.watched, pid)
	exit := Exit{Pid: pid, Code: status.ExitStatus(), At: time.Now()}
	if status.Signaled() {
		exit.Code = 128 + int(status.Signal())
	}
	go ended(exit)
	return true
}

// sort finds out whose a zombie is: nobody's, if it is still there when the calls are over that
// were under way.
func (r *Reaper) sort(pid int) {
	began := beginOf(pid)
	r.mu.Lock()
	calls := make([]chan struct{}, 0, len(r.calls))
	for c := range r.calls {
		calls = append(calls, c)
	}
	r.mu.Unlock()
	patience := time.NewTimer(hungAfter)
	defer patience.Stop()
	for _, c := range calls {
		select {
		case <-c:
			continue
		case <-patience.C:
		}
		break
	}
	r.mu.Lock()
	if r.watched[pid] == nil && began != "" && beginOf(pid) == began {
		var status unix.WaitStatus
		_, _ = wait(pid, &status)
	}
	r.sorting = false
	r.mu.Unlock()
	if began != "" { // of one that is gone there is nothing more to find out
		r.look()
	}
}

// wait reaps a child if it has ended.
func wait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, unix.WNOHANG, nil)
		if err != unix.EINTR {
			return got, err
		}
	}
}

// zombie is a child that has ended and is not reaped, 0 if there is none.
func zombie() int {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0
		}
		// The process is the first that follows the three numbers, as wide as a pointer: sigaction(2).
		at := (3*unsafe.Sizeof(int32(0)) + unsafe.Sizeof(uintptr(0)) - 1) / unsafe.Sizeof(uintptr(0)) * unsafe.Sizeof(uintptr(0))
		return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), at)))
	}
}

// beginOf is when a process began, in ticks of the kernel; "" of none.
func beginOf(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	at := bytes.LastIndex(text, []byte(") "))
	if at < 0 {
		return ""
	}
	fields := bytes.Fields(text[at+2:])
	if len(fields) < 20 {
		return ""
	}
	return string(fields[19])
}
