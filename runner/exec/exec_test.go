package exec

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// task runs what joins it as processes of the machine, with the pipes that a shim
// would open.
type task struct {
	containerd.Task
	refuses error // of the start of a process
	joined  *joined
}

type joined struct {
	containerd.Process
	io      cio.IO
	cmd     *exec.Cmd
	refuses error
	pipes   []*os.File // the shim's own ends
	exits   chan containerd.ExitStatus

	mu      sync.Mutex
	deleted bool     // guarded by mu
	stdin   *os.File // guarded by mu
}

func (k *task) Exec(_ context.Context, id string, doc *specs.Process, create cio.Creator) (containerd.Process, error) {
	streams, err := create(id)
	if err != nil {
		return nil, err
	}
	k.joined = &joined{io: streams, cmd: exec.Command(doc.Args[0], doc.Args[1:]...), refuses: k.refuses, exits: make(chan containerd.ExitStatus, 1)}
	k.joined.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return k.joined, nil
}

func (j *joined) IO() cio.IO { return j.io }

func (j *joined) Wait(context.Context) (<-chan containerd.ExitStatus, error) { return j.exits, nil }

func (j *joined) Start(context.Context) error {
	if j.refuses != nil {
		return j.refuses
	}
	config := j.io.Config()
	open := func(path string, flags int) *os.File {
		if path == "" {
			return nil
		}
		f, err := os.OpenFile(path, flags, 0)
		if err != nil {
			panic(err)
		}
		j.pipes = append(j.pipes, f)
		return f
	}
	j.cmd.Stdout, j.cmd.Stderr = open(config.Stdout, os.O_WRONLY), open(config.Stderr, os.O_WRONLY)
	if config.Stdin != "" {
		j.cmd.Stdin = open(config.Stdin, os.O_RDONLY)
		j.stdin = open(config.Stdin, os.O_WRONLY) // the shim keeps it open until it is told
	}
	if err := j.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = j.cmd.Wait()
		_ = j.CloseIO(context.Background())
		for _, f := range j.pipes {
			f.Close()
		}
		j.exits <- *containerd.NewExitStatus(uint32(j.cmd.ProcessState.ExitCode()), time.Now(), nil)
	}()
	return nil
}

func (j *joined) Kill(_ context.Context, sig syscall.Signal, _ ...containerd.KillOpts) error {
	return syscall.Kill(-j.cmd.Process.Pid, sig)
}

func (j *joined) CloseIO(context.Context, ...containerd.IOCloserOpts) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.stdin != nil {
		j.stdin.Close()
	}
	return nil
}

func (j *joined) Resize(context.Context, uint32, uint32) error { return nil }

func (j *joined) Delete(context.Context, ...containerd.ProcessDeleteOpts) (*containerd.ExitStatus, error) {
	j.mu.Lock()
	j.deleted = true
	j.mu.Unlock()
	j.io.Cancel() // as containerd's client does
	j.io.Wait()
	j.io.Close()
	return containerd.NewExitStatus(0, time.Now(), nil), nil
}

func script(text string) *specs.Process { return &specs.Process{Args: []string{"sh", "-c", text}} }

// spawn starts what goes on, which the test awaits.
func spawn(t *testing.T) func(func()) {
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	return func(f func()) { all.Go(f) }
}

func TestAProcessHasItsStreamsAndItsExitCode(t *testing.T) {
	k := &task{}
	var out, errOut bytes.Buffer
	p, err := Start(t.Context(), k, script("read line; echo got $line; echo bad >&2; cat; exit 3"), Streams{
		Dir: t.TempDir(), Stdin: strings.NewReader("a line\nand the rest"), Stdout: &out, Stderr: &errOut,
	}, spawn(t))
	if err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(t.Context())
	if err != nil || code != 3 || out.String() != "got a line\nand the rest" || errOut.String() != "bad\n" {
		t.Errorf("code %d, %v, printed %q and %q", code, err, out.String(), errOut.String())
	}
	p.AwaitOver(t.Context()) // nothing follows
	if !k.joined.deleted {
		t.Error("containerd still has it")
	}
}

// Nobody could end it once its caller is gone.
func TestAProcessWhoseCallerGoesAwayIsKilled(t *testing.T) {
	k := &task{}
	ctx, cancel := context.WithCancelCause(t.Context())
	p, err := Start(ctx, k, script("sleep 60"), Streams{Dir: t.TempDir(), Stdout: io.Discard, Stderr: io.Discard}, spawn(t))
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the caller is gone")
	cancel(gone)
	if _, err := p.Wait(ctx); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	<-k.joined.exits
	if k.joined.cmd.ProcessState.Success() {
		t.Error("it went on to its end")
	}
}

func TestSignalsGoByTheirNames(t *testing.T) {
	p, err := Start(t.Context(), &task{}, script("trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done"), Streams{
		Dir: t.TempDir(), Stdout: io.Discard, Stderr: io.Discard,
	}, spawn(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(t.Context(), "NONSENSE"); err == nil || !strings.Contains(err.Error(), `"NONSENSE"`) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(p.Resize(t.Context(), 80, 24), p.Signal(t.Context(), "KILL")); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Wait(t.Context()); code != -1 && code != 255 && err == nil && code < 128 {
		t.Errorf("code %d, %v", code, err)
	}
}

func TestWhatCannotBeBegunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	const said = `OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": executable file not found in $PATH`
	_, err := Start(t.Context(), &task{refuses: errors.New(said)}, script("nope"), Streams{Dir: dir, Stdout: io.Discard, Stderr: io.Discard}, spawn(t))
	if err == nil || err.Error() != `no directory of its PATH has a program "nope"` {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left is %v", left)
	}
}

func TestAProcessIsRunWithinBounds(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		bounds Bounds
		code   int
		output string
		err    string
	}{
		"it succeeds":          {"echo fine", Bounds{Output: 100}, 0, "fine\n", ""},
		"it fails":             {"echo bad >&2; exit 2", Bounds{Output: 100}, 2, "bad\n", ""},
		"it prints much":       {"echo 0123456789", Bounds{Output: 4}, 0, "0123", ""},
		"it takes too long":    {"echo waiting; sleep 60", Bounds{Output: 100, Time: 300 * time.Millisecond}, -1, "waiting\n", "timed out after 300ms: waiting"},
		"it leaves a daemon":   {"sleep 30 & echo begun", Bounds{Output: 100}, 0, "begun\n", ""},
		"its time is not over": {"exit 1", Bounds{Output: 100, Time: time.Minute}, 1, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.bounds.Dir = t.TempDir()
			k := &task{}
			code, output, err := Run(t.Context(), k, script(c.script), c.bounds)
			if code != c.code || output != c.output || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
				t.Errorf("code %d, %q, %v", code, output, err)
			}
			_ = syscall.Kill(-k.joined.cmd.Process.Pid, syscall.SIGKILL)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Run(ctx, &task{}, script("sleep 60"), Bounds{Dir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller is gone: %v", err)
	}
}
