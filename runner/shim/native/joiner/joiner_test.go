//go:build cgo

package joiner

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/exeseal"
	"github.com/opencontainers/runc/libcontainer/system"
	"golang.org/x/sys/unix"

	_ "github.com/orlop/orlop/runner/shim/native/enter" // before Go begins, it stands beside joiner.c
)

func TestAProcessIsWhatItsRecordSays(t *testing.T) {
	b := newBox(t)
	signal.Ignore(unix.SIGUSR1) // as somebody may who starts the engine
	defer signal.Reset(unix.SIGUSR1)
	mask, score, yes := uint32(0o027), 321, true
	b.config = configs.Config{Umask: &mask, OomScoreAdj: &score, Rlimits: []configs.Rlimit{{Type: unix.RLIMIT_NOFILE, Soft: 77, Hard: 88}}}
	p := usual("sh", "-c", `read -r pid name state parent group session rest </proc/self/stat; test $pid = $group -a $pid = $session && echo leads; grep -E "^(Uid|Gid|Groups|Cap|NoNew|Umask|Seccomp:|SigIgn|SigBlk)" /proc/self/status; echo $A $B; ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; ls /proc/self/fd; echo fine >/proc/self/fd/1; readlink /proc/self/cwd; grep -o _ses.box /proc/keys || echo none`)
	p.UID, p.GID, p.AdditionalGroups, p.NoNewPrivileges, p.Cwd = 1000, 1001, []int{5, 6}, &yes, "/etc"
	p.Env = append(p.Env, "A=first", "B=b", "A=last")
	p.Capabilities = &configs.Capabilities{
		Bounding: []string{"CAP_KILL", "CAP_CHOWN", "CAP_MADE_UP"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"},
		Inheritable: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"},
	}
	said, status := b.run(t, p)
	want := "leads\nUmask:\t0027\nUid:\t1000\t1000\t1000\t1000\nGid:\t1001\t1001\t1001\t1001\nGroups:\t5 6 \nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" +
		"CapInh:\t0000000000000020\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000020\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000020\n" +
		"NoNewPrivs:\t1\nSeccomp:\t0\nlast b\n77\n88\n321\n0\n1\n2\n3\nfine\n/etc\n_ses.box\n"
	if _, err := os.Stat("/proc/keys"); err != nil { // this kernel has none
		want = strings.Replace(want, "_ses.box", "none", 1)
	}
	if said != want || status.ExitStatus() != 0 {
		t.Errorf("it says\n%s, want\n%s", said, want)
	}
	if note, err := os.ReadFile(b.cgroups[0]); string(note) != "0" {
		t.Errorf("its cgroup has been told %q, %v", note, err)
	}
	if _, status := b.run(t, usual("sh", "-c", "exit 7")); status.ExitStatus() != 7 {
		t.Errorf("it ends with %d", status.ExitStatus())
	}
	// What it is told may be more than a socket takes at once.
	p = usual("sh", "-c", `echo ${#LONG} ${#NAMES}`)
	p.Env = append(p.Env, "LONG="+strings.Repeat("x", 120_000), "NAMES="+strings.Repeat("y", 120_000))
	if said, _ := b.run(t, p); said != "120000 120000\n" {
		t.Errorf("of a large environment: %q", said)
	}
}

// Who starts it may be bound to a processor; it has those of its cgroup.
func TestItsProcessorsAreNotThoseOfItsStarter(t *testing.T) {
	b := newBox(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var own, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &own); err != nil {
		t.Fatal(err)
	}
	if own.Count() < 2 {
		t.Skip("SKIPPED: needs two processors")
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if own.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &own) }()
	said, _ := b.run(t, usual("grep", "Cpus_allowed_list", "/proc/self/status"))
	if !strings.ContainsAny(said, "-,") {
		t.Errorf("it has %s", said)
	}
}

// In a cgroup of version 2 a process is born.
func TestACgroupOfVersion2(t *testing.T) {
	b := newBox(t)
	b.inVersion2(t)
	if said, _ := b.run(t, usual("cat", "/proc/self/cgroup")); !strings.Contains(said, "0::/"+filepath.Base(b.cgroups[0])+"\n") {
		t.Errorf("it is in %s", said)
	}
}

// inVersion2 gives the box a cgroup of version 2. Where both versions are there, one of these
// has no controllers, and serves as well.
func (b *box) inVersion2(t *testing.T) {
	t.Helper()
	dir := ""
	for _, at := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var s unix.Statfs_t
		if unix.Statfs(at, &s) == nil && s.Type == unix.CGROUP2_SUPER_MAGIC {
			dir = filepath.Join(at, fmt.Sprint("orlop-joiner-test-", os.Getpid()))
		}
	}
	if dir == "" {
		t.Skip("SKIPPED: this machine has no cgroups of version 2")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("SKIPPED: no cgroup of one's own: ", err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	b.cgroups, b.isCgroup2 = []string{dir}, true
}

// TestOneThatJoinsHoldsNothingOfTheMachine: who may look at all processes of the container, as with cap_add: [SYS_PTRACE],
// finds no file of one by which a directory of the machine is reached.
func TestOneThatJoinsHoldsNothingOfTheMachine(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			b := newBox(t)
			if version == 2 {
				b.inVersion2(t)
			}
			inSight, release := b.stallInSight(t)
			done := make(chan error)
			go func() {
				pid, _, err := b.begin(t, usual("cat"), b.seen)
				if err == nil {
					reap(t, pid)
				}
				done <- err
			}()
			<-inSight
			b.seen = nil
			p := usual("sh", "-c", `for p in /proc/[0-9]*; do
				read -r name <$p/comm; [ "$name" = 4 ] || continue
				for f in $p/fd/* $p/cwd $p/root; do echo "${f##*/} $(readlink $f)"; done
			done | sed 's/:.*//'`)
			p.Capabilities = all(t)
			said, _ := b.run(t, p)
			if want := "0 /dev/null\n1 pipe\n2 pipe\n3 socket\ncwd /\nroot /\n"; said != want {
				t.Errorf("it holds\n%s", said)
			}
			release()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNobodyInTheContainerReachesOneThatJoins looks at it from a process of the container's, when it has just come in
// sight and when it has given up all rights that this one hasn't: at its program, its files, its root, its memory.
func TestNobodyInTheContainerReachesOneThatJoins(t *testing.T) {
	for when, stall := range map[string]func(b *box, t *testing.T) (stalled <-chan bool, release func()){
		"with all rights": (*box).stallInSight, "before its program": (*box).stallAtItsProgram,
	} {
		b := newBox(t)
		onItsWay, release := stall(b, t)
		done := make(chan error)
		go func() {
			pid, _, err := b.begin(t, usual("held", "true"), b.seen)
			if err == nil {
				reap(t, pid)
			}
			done <- err
		}()
		<-onItsWay
		said, _ := b.run(t, usual("sh", "-c", `for p in /proc/[0-9]*; do
			read -r name <$p/comm; [ "$name" = 4 ] || continue
			echo there
			for f in exe cwd root fd/3 ns/mnt; do readlink $p/$f && echo "reached $f"; done
			for f in environ maps mem auxv; do cat $p/$f >/dev/null && echo "reached $f"; done
			ls $p/root/ && echo "reached its root"
		done 2>/dev/null`))
		if said != "there\n" {
			t.Errorf("%s it can be reached: %s", when, said)
		}
		release()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
}

// TestTheProgramThatJoinsCannotBeWrittenTo, however one gets hold of it.
func TestTheProgramThatJoinsCannotBeWrittenTo(t *testing.T) {
	b := newBox(t)
	var fs unix.Statfs_t
	path := fmt.Sprint("/proc/self/fd/", b.joiner.program.Fd())
	if err := unix.Statfs(path, &fs); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write([]byte{0})
		f.Close()
	}
	if isSealed := exeseal.IsCloned(b.joiner.program); !isSealed && fs.Type != unix.OVERLAYFS_SUPER_MAGIC || !isSealed && !errors.Is(err, unix.EROFS) || err == nil {
		t.Errorf("on a file system of type %x, sealed: %t, writing to it: %v", fs.Type, isSealed, err)
	}
	// One that is the program itself does nothing but what its caller may.
	seen, ended := make(chan int), make(chan bool)
	go func() { _, _, _ = b.begin(t, usual("cat"), func(pid int) { seen <- pid; <-seen }); close(ended) }()
	<-seen
	seen <- 0
	pid := <-seen
	if exe, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err != nil {
		t.Error(err)
	} else if own, err := os.Stat("/proc/self/exe"); err != nil || os.SameFile(exe, own) {
		t.Errorf("it runs from the machine's own file: %v", err)
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	seen <- 0
	<-ended
	reap(t, pid)
}

// What is outside of the container is no directory of a process, and no program.
func TestNothingOutsideIsReached(t *testing.T) {
	b := newBox(t)
	b.namespaces &^= unix.CLONE_NEWPID // it sees the machine's processes, in a /proc of its own
	p := usual("sh", "-c", "/bin/busybox mount -t proc none /proc")
	p.Capabilities = all(t)
	if said, status := b.run(t, p); status != 0 {
		t.Fatal(said)
	}
	outside := fmt.Sprintf("/proc/%d/cwd", os.Getpid())
	for what, change := range map[string]func(p *libcontainer.Process){
		"a directory":             func(p *libcontainer.Process) { p.Cwd = outside },
		"a directory of ours":     func(p *libcontainer.Process) { p.Cwd = "/proc/self/fd/5" },
		"a directory of a cgroup": func(p *libcontainer.Process) { p.Cwd = "/proc/self/fd/4" },
		"a program by a file":     func(p *libcontainer.Process) { p.Args = []string{"/proc/self/fd/4"} },
		"a program by the socket": func(p *libcontainer.Process) { p.Args = []string{"/proc/self/fd/3"} },
	} {
		p := usual("cat", "/proc/self/status")
		p.Capabilities = all(t)
		change(p)
		if pid, _, err := b.begin(t, p, func(int) {}); !IsRefused(err) {
			t.Errorf("%s: %d, %v", what, pid, err)
		}
	}
}

// all are the capabilities that a process may have which we begin.
func all(t *testing.T) *configs.Capabilities {
	t.Helper()
	caps, err := capability.NewPid2(0)
	if err == nil {
		err = caps.Load()
	}
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range capability.ListKnown() {
		if caps.Get(capability.PERMITTED, c) {
			names = append(names, "CAP_"+strings.ToUpper(c.String()))
		}
	}
	return &configs.Capabilities{Bounding: names, Effective: names, Permitted: names}
}

// What can't be begun has executed nothing, and is left to libcontainer.
func TestWhatCannotBeBegunIsRefused(t *testing.T) {
	b := newBox(t)
	for why, change := range map[string]func(p *libcontainer.Process){
		"program: no such file or directory": func(p *libcontainer.Process) { p.Args[0] = "nonsense" },
		"program: permission denied":         func(p *libcontainer.Process) { p.Args[0] = "/bin/text" },
		"program: is a directory":            func(p *libcontainer.Process) { p.Args[0] = "/bin" },
		"a relative PATH":                    func(p *libcontainer.Process) { p.Env[0] = "PATH=.:/bin" },
		"chdir: no such file or directory":   func(p *libcontainer.Process) { p.Cwd = "/none" },
		"no name":                            func(p *libcontainer.Process) { p.Env = append(p.Env, "=x") },
		"a home directory":                   func(p *libcontainer.Process) { p.Env[1] = "HOME=" },
		"zero byte":                          func(p *libcontainer.Process) { p.Args = append(p.Args, "a\x00b") },
	} {
		p := usual("cat", "/proc/self/status")
		change(p)
		_, _, err := b.begin(t, p, func(int) {})
		if !IsRefused(err) || !strings.Contains(err.Error(), why) {
			t.Errorf("want %s: %v", why, err)
		}
	}
	b.cgroups = []string{"/none/cgroup.procs"}
	if _, _, err := b.begin(t, usual("cat"), func(int) {}); !IsRefused(err) {
		t.Errorf("without its cgroup: %v", err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, b.init.Process.Pid, &info, unix.WNOHANG|unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Error(err)
	}
	if left := childrenBesides(t, b.init.Process.Pid); len(left) > 0 {
		t.Errorf("children are left: %v", left)
	}
}

func childrenBesides(t *testing.T, but int) (left []string) {
	t.Helper()
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(text)) {
			if pid != fmt.Sprint(but) {
				left = append(left, pid)
			}
		}
	}
	return left
}

// Half-way it can be ended, and ends with its container; it is reaped as any other.
func TestOneThatJoinsCanBeEnded(t *testing.T) {
	for what, end := range map[string]func(b *box, pid int) error{
		"itself":        func(_ *box, pid int) error { return unix.Kill(pid, unix.SIGKILL) },
		"its container": func(b *box, _ int) error { return b.Container.kill() },
	} {
		b := newBox(t)
		seen := make(chan int)
		type result struct {
			pid int
			err error
		}
		results := make(chan result)
		go func() {
			pid, _, err := b.begin(t, usual("cat"), func(pid int) { seen <- pid; <-seen })
			results <- result{pid, err}
		}()
		<-seen
		seen <- 0
		if err := end(b, <-seen); err != nil {
			t.Fatal(err)
		}
		seen <- 0
		r := <-results
		if r.err != nil {
			t.Errorf("%s: %v", what, r.err)
			continue
		}
		if status := reap(t, r.pid); status.Signal() != unix.SIGKILL {
			t.Errorf("%s: it has ended with %v", what, status)
		}
	}
	b := newBox(t)
	if err := b.Container.kill(); err != nil {
		t.Fatal(err)
	}
	_ = b.init.Wait()
	if _, _, err := b.begin(t, usual("cat"), func(int) {}); !IsRefused(err) {
		t.Errorf("of a container that has ended: %v", err)
	}
}

// A first one that is killed before it was told what to do leaves nobody; one that is killed when it has forked leaves
// a second one that is known before it executes anything.
func TestTheFirstOfTwoIsKilled(t *testing.T) {
	b := newBox(t)
	var second int
	for name, when := range map[string]int{"at once": 1, "when there is a second": 2} {
		first, times := 0, 0
		pid, _, err := b.begin(t, usual("sh", "-c", "exit 3"), func(pid int) {
			times++
			if times == 1 {
				first = pid
			} else if times == 2 {
				second = pid
			}
			if times == when {
				_ = unix.Kill(first, unix.SIGKILL)
			}
		})
		switch {
		case when == 1 && (err == nil || IsRefused(err) || pid != 0):
			t.Errorf("%s: %d, %v", name, pid, err)
		case when == 2 && (err != nil || pid != second || reap(t, pid).ExitStatus() != 3):
			t.Errorf("%s: %d, not %d: %v", name, pid, second, err)
		}
	}
	if left := childrenBesides(t, b.init.Process.Pid); len(left) > 0 {
		t.Errorf("children are left: %v", left)
	}
}

func (c *Container) kill() error { return unix.PidfdSendSignal(int(c.init.Fd()), unix.SIGKILL, nil, 0) }

// A container is not taken for another one whose first process has its number by now.
func TestANumberMayBeAnothersByNow(t *testing.T) {
	stat, err := system.Stat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := first(os.Getpid(), stat.StartTime)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := first(os.Getpid(), stat.StartTime-1); err == nil {
		t.Error("another process is taken for it")
	}
}
