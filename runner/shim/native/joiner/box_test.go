//go:build cgo

package joiner

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// box is something like a container: a root with busybox, and namespaces.
type box struct {
	*Container
	joiner *Joiner
	init   *exec.Cmd
	seen   func(pid int)
}

// makeBox becomes the first process of a box: it leaves the machine's files behind, says so, and ends with its input.
const makeBox = `set -e
mount -t tmpfs none "$0"
cd "$0"
mkdir bin dev proc old etc
/bin/busybox mknod dev/null c 1 3
cp /bin/busybox bin
cp /bin/busybox bin/held
for p in sh cat ls readlink grep sed; do ln -s busybox bin/$p; done
echo no program >bin/text
pivot_root . old
/bin/busybox mount -t proc none /proc
/bin/busybox umount -l /old
echo ready
exec /bin/cat`

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: makes namespaces")
	}
	if _, err := os.Stat("/bin/busybox"); err != nil {
		t.Skip("SKIPPED: needs /bin/busybox, linked statically: make deps")
	}
	j, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &box{joiner: j, init: exec.Command("/bin/busybox", "sh", "-c", makeBox)}
	b.init.Args = append(b.init.Args, t.TempDir())
	b.init.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Unshareflags: syscall.CLONE_NEWNS}
	b.init.Stderr = os.Stderr
	in, err := b.init.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.init.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.init.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.init.Process.Kill(); in.Close(); _ = b.init.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(b.init.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Container = &Container{
		id: "box", config: configs.Config{}, init: os.NewFile(uintptr(fd), "init"), namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		cgroups: []string{filepath.Join(t.TempDir(), "cgroup.procs")}, capabilities: map[string]capability.Cap{},
	}
	if err := os.WriteFile(b.cgroups[0], nil, 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := capability.ListSupported()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		b.capabilities["CAP_"+strings.ToUpper(k.String())] = k
	}
	return b
}

// usual is a process with what containers have by default, as far as it matters here: no CAP_SYS_PTRACE.
func usual(args ...string) *libcontainer.Process {
	caps := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"}
	return &libcontainer.Process{
		Args: args, Cwd: "/", Env: []string{"PATH=/none:/bin", "HOME=/"},
		Capabilities: &configs.Capabilities{Bounding: caps, Effective: caps, Permitted: caps},
	}
}

// begin has a process join the box; its output can be read when it has ended.
func (b *box) begin(t *testing.T, p *libcontainer.Process, now func(pid int)) (pid int, output *os.File, err error) {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	defer to.Close()
	pid, err = b.joiner.Join(b.Container, p, to, now)
	return pid, from, err
}

// run is what a process says, and how it ends.
func (b *box) run(t *testing.T, p *libcontainer.Process) (string, unix.WaitStatus) {
	t.Helper()
	pid, output, err := b.begin(t, p, func(int) {})
	if err != nil {
		t.Fatalf("%q: %v", p.Args, err)
	}
	var said bytes.Buffer
	if _, err := said.ReadFrom(output); err != nil {
		t.Fatal(err)
	}
	return said.String(), reap(t, pid)
}

func reap(t *testing.T, pid int) (status unix.WaitStatus) {
	t.Helper()
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	return status
}

// stallInSight keeps whoever joins the box where it has just come in sight of the box, with all rights, until release.
func (b *box) stallInSight(*testing.T) (stalled <-chan bool, release func()) {
	there, goOn, times := make(chan bool, 1), make(chan bool), 0
	b.seen = func(int) {
		if times++; times == 2 { // the second process
			there <- true
			<-goOn
		}
	}
	return there, sync.OnceFunc(func() { close(goOn) })
}

// stallAtItsProgram keeps the program "held" from being executed, until release.
func (b *box) stallAtItsProgram(t *testing.T) (stalled <-chan bool, release func()) {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		t.Skip("SKIPPED: no fanotify: ", err)
	}
	watch := os.NewFile(uintptr(fd), "fanotify")
	t.Cleanup(func() { watch.Close() })
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, fmt.Sprintf("/proc/%d/root/bin/held", b.init.Process.Pid)); err != nil {
		t.Skip("SKIPPED: this kernel asks nobody before it executes a program: ", err)
	}
	b.seen = func(int) {}
	there, event := make(chan bool, 1), unix.FanotifyEventMetadata{}
	go func() {
		_ = binary.Read(watch, binary.NativeEndian, &event)
		there <- true
	}()
	return there, func() {
		_ = binary.Write(watch, binary.NativeEndian, unix.FanotifyResponse{Fd: event.Fd, Response: unix.FAN_ALLOW})
		_ = unix.Close(int(event.Fd))
	}
}
