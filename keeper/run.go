package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockName   = "orlopd.lock"
	socketName = "orlop.sock"
	logLimit   = 10 << 20
	// stopGrace is what a stopping engine gets to put its house in order.
	stopGrace = 60 * time.Second
)

// Options are what a keeper process is started with.
type Options struct {
	// State is the directory of the lock and the API socket (gone after a
	// reboot), Root that of the logs. Both are passed to the engine.
	State, Root string
	// Engine is the engine's program file.
	Engine string
	// Version is what Status tells.
	Version string
	// Ready is told "ready\n", once, when the API socket listens, and is then
	// closed. It may be nil.
	Ready io.WriteCloser
	Log   *slog.Logger
}

// RunningError says that another keeper has the state directory.
type RunningError struct {
	State string
	PID   int
}

func (e *RunningError) Error() string {
	return fmt.Sprintf("already running for %s: process %d", e.State, e.PID)
}

// Run is the keeper's life: it takes the lock, listens on the API socket, and
// keeps an engine running until that asks to quit (nil), or ctx is cancelled,
// which is passed on to the engine as SIGTERM. It fails with a [RunningError]
// when there is a keeper already.
func Run(ctx context.Context, o Options) error {
	for _, dir := range []string{o.State, filepath.Join(o.Root, "log")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("cannot make the directory of the keeper: %w", err)
		}
	}
	if err := os.Chmod(o.State, 0o700); err != nil {
		return fmt.Errorf("cannot guard %s: %w", o.State, err)
	}
	lock, err := takeLock(o.State)
	if err != nil {
		return err
	}
	defer func() {
		if err := leaveState(o.Root, o.State, lock); err != nil {
			o.Log.Warn("the state directory stays mounted", "path", o.State, "error", err)
		}
	}()
	socket := filepath.Join(o.State, socketName)
	api, err := listenAPI(socket)
	if err != nil {
		return err
	}
	ours, lost := os.Lstat(socket)
	defer func() {
		api.Close()
		if now, err := os.Lstat(socket); lost == nil && err == nil && os.SameFile(ours, now) {
			_ = os.Remove(socket)
		}
	}()
	apiFile, err := api.File()
	if err != nil {
		return fmt.Errorf("cannot pass the API socket on: %w", err)
	}
	defer apiFile.Close()
	k := &keeper{Options: o, api: apiFile, held: InProcess(), since: time.Now()}
	defer k.held.Release()
	if o.Ready != nil {
		// Whoever started us may be gone; we stay.
		_, _ = io.WriteString(o.Ready, readyWord)
		o.Ready.Close()
	}
	o.Log.Info("keeper started", "pid", os.Getpid(), "version", o.Version, "state", o.State)
	err = k.supervise(ctx)
	o.Log.Info("keeper leaves", "error", err)
	return err
}

// takeLock holds the lock for as long as the returned file is open. The
// kernel frees it with the process, so that no stale lock can exist; the pid
// inside is for people and for [Running].
func takeLock(state string) (*os.File, error) {
	path := filepath.Join(state, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot take the keeper's lock: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile()); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			pid, _ := Running(state)
			return nil, &RunningError{State: state, PID: pid}
		}
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return f, nil
}

// wholeFile describes an exclusive lock. It is of the kind that belongs to the
// open file, as flock's do, but can be looked at without being taken: a probe
// must not keep a keeper from starting.
func wholeFile() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Running reports whether a keeper has the state directory, and its pid, by
// probing its lock. The pid is 0 while that keeper is only just starting.
func Running(state string) (pid int, ok bool) {
	f, err := os.Open(filepath.Join(state, lockName))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lock := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock); err != nil || lock.Type == unix.F_UNLCK {
		return 0, false
	}
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, true
	}
	pid, _ = strconv.Atoi(string(bytes.TrimSpace(text)))
	return pid, true
}

// listenAPI replaces the socket of a keeper that was killed: we have the lock,
// so nobody listens there.
func listenAPI(path string) (*net.UnixListener, error) {
	if most := len(unix.RawSockaddrUnix{}.Path) - 1; len(path) > most {
		return nil, fmt.Errorf("cannot open the API socket %s: its path is longer than %d bytes; choose a shorter state directory (ORLOP_STATE)", path, most)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot replace the API socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot open the API socket: %w", err)
	}
	// Where the state directory was emptied, the file is a successor's by the time
	// that this one is closed.
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot guard the API socket: %w", err)
	}
	return l, nil
}

// keeper supervises one engine at a time.
type keeper struct {
	Options
	api   *os.File
	held  *Holdings
	since time.Time

	mu       sync.Mutex
	pid      int
	started  time.Time
	restarts int
	quit     bool
	reexec   bool
}

// supervise starts engine after engine. One that is killed again and again is
// started ever more slowly, one that ends by itself when somebody needs it.
func (k *keeper) supervise(ctx context.Context) error {
	var delay backoff
	var failed failures
	for first := true; ; first = false {
		began := time.Now()
		reason, err := k.runEngine(ctx, first)
		k.mu.Lock()
		quit, reexec := k.quit, k.reexec
		k.reexec = false
		k.mu.Unlock()
		lived := time.Since(began)
		k.Log.Info("engine exited", "how", exitText(err), "lived", lived, "quit", quit, "upgrade", reexec)
		if quit || ctx.Err() != nil {
			return nil
		}
		if reexec {
			continue
		}
		if failed.note(err, lived) {
			k.Log.Warn("the engine can't start: its callers are told, and the next try is theirs", "error", reason)
			if err := refuse(ctx, k.api, reason, failed.pause()); err != nil {
				return fmt.Errorf("cannot answer for an engine that can't start: %w", err)
			}
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		select {
		case <-time.After(delay.next(lived)):
		case <-ctx.Done():
			return nil
		}
	}
}

// backoff grows by each engine that lived for less than two seconds, from
// nothing to five seconds, and is over with one that lived for ten.
type backoff struct{ steps int }

func (b *backoff) next(lived time.Duration) time.Duration {
	if lived >= 10*time.Second {
		b.steps = 0
	}
	wait := time.Duration(0)
	if b.steps > 0 {
		wait = min(100*time.Millisecond<<min(b.steps-1, 10), 5*time.Second)
	}
	if lived < 2*time.Second {
		b.steps++
	}
	return wait
}

func exitText(err error) string {
	if err == nil {
		return "code 0"
	}
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return fmt.Sprintf("signal %d (%s)", ws.Signal(), ws.Signal())
		}
		return fmt.Sprintf("code %d", ee.ExitCode())
	}
	return err.Error()
}

// runEngine starts one engine and returns when it has exited and its control
// connection has been drained: how, and why by its own word.
func (k *keeper) runEngine(ctx context.Context, first bool) (reason string, err error) {
	path := filepath.Join(k.Root, "log", "engine.log")
	log, err := openLog(path)
	if err != nil {
		err = fmt.Errorf("cannot open the engine's log: %w", err)
		return err.Error(), err
	}
	defer log.Close()
	before := endOf(log)
	if err = k.runLogged(ctx, first, log); err != nil {
		reason = reasonIn(tailFrom(path, before), err)
	}
	return reason, err
}

// runLogged runs one engine that writes to a log.
func (k *keeper) runLogged(ctx context.Context, first bool, log *os.File) error {
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("cannot make a control connection: %w", err)
	}
	defer ours.Close()
	cmd := exec.CommandContext(ctx, k.Engine, "--state", k.State, "--root", k.Root)
	cmd.Stdout, cmd.Stderr = log, log
	// What the engine's collector frees is written over: it may have been a secret.
	cmd.Env = append(os.Environ(), "GODEBUG=clobberfree=1")
	cmd.ExtraFiles = []*os.File{k.api, theirs}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("cannot start the engine: %w", err)
	}
	k.began(cmd.Process.Pid, first)
	served := make(chan error, 1)
	go func() { served <- Serve(ours, k.held, k.wishes()) }()
	err = cmd.Wait()
	k.ended()
	// A child of the engine may hold a copy of its end: don't wait for that.
	// What the engine itself sent is in the socket already and is read first.
	_ = ours.CloseRead()
	if serr := <-served; serr != nil {
		k.Log.Warn("engine's requests", "error", serr)
	}
	return err
}

func (k *keeper) began(pid int, first bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pid, k.started = pid, time.Now()
	if !first {
		k.restarts++
	}
	k.Log.Info("engine started", "pid", pid, "restarts", k.restarts)
}

func (k *keeper) ended() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pid = 0
}

func (k *keeper) wishes() Wishes {
	set := func(flag *bool) func() {
		return func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			*flag = true
		}
	}
	return Wishes{Quit: set(&k.quit), Reexec: set(&k.reexec), Status: k.status}
}

func (k *keeper) status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Status{
		PID: os.Getpid(), Version: k.Version, Since: k.since,
		EnginePID: k.pid, EngineSince: k.started, Restarts: k.restarts,
		Memory: residentMemory(),
	}
}

func residentMemory() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close()
	theirs = os.NewFile(uintptr(fds[1]), "control")
	c, err := net.FileConn(f)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

// openLog opens a log for appending, putting a large one aside as *.1.
func openLog(path string) (*os.File, error) {
	if fi, err := os.Stat(path); err == nil && fi.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// OpenLog opens the keeper's own log, ROOT/log/keeper.log.
func OpenLog(root string) (*os.File, error) {
	dir := filepath.Join(root, "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the log directory: %w", err)
	}
	f, err := openLog(filepath.Join(dir, "keeper.log"))
	if err != nil {
		return nil, fmt.Errorf("cannot open the keeper's log: %w", err)
	}
	return f, nil
}
