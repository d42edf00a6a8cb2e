package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/runner/exec/job"
)

// joinedStack has containers of all kinds that a process may meet.
const joinedStack = `
x-rest: &rest {image: busybox, command: sleep infinity, stop_grace_period: 0s}
services:
  root: *rest
  user: {<<: *rest, user: "1000:1001", group_add: ["5", "6"], working_dir: /tmp/made/here}
  capable: {<<: *rest, user: "1000:1000", cap_add: [NET_ADMIN, SYS_TIME], cap_drop: [CHOWN]}
  bare: {<<: *rest, cap_drop: [ALL]}
  privileged: {<<: *rest, privileged: true}
  unconfined: {<<: *rest, security_opt: ["seccomp=unconfined"]}
  profile: {<<: *rest, security_opt: ["seccomp:./profile.json"]}
  nothingnew: {<<: *rest, security_opt: ["no-new-privileges:true"]}
  readonly: {<<: *rest, read_only: true, tmpfs: [/tmp]}
  parent: {<<: *rest, cgroup_parent: PARENT}
  processes: {<<: *rest, pid: host}
  network: {<<: *rest, network_mode: host}
  shared: {<<: *rest, ipc: host, uts: host}
  groups: {<<: *rest, cgroup: host}
  limited: {<<: *rest, ulimits: {nofile: {soft: 100, hard: 200}, nproc: 77, core: 0}, mem_limit: 64m, pids_limit: 50, cpus: 0.5, oom_score_adj: 321}
`

// joinedProfile compares arguments, and knows few calls of a later kernel.
const joinedProfile = `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 55, "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}], "syscalls": [
 {"names": ["mount", "reboot", "no_such_call"], "action": "SCMP_ACT_KILL_PROCESS"},
 {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
 {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]},
 {"names": ["clone", CALLS], "action": "SCMP_ACT_ALLOW"}]}`

// seen is what a process tells of itself: all that is given to it as it joins the container $1. Who may
// look at all keys of the machine tells of that container's only: others come and go.
// Signals that this test's caller ignores are ignored by libcontainer's process, too, and by no other: SigIgn is left out.
const seen = `
grep -E '^(Umask|Uid|Gid|Groups|TracerPid|NoNewPrivs|Seccomp|Seccomp_filters|Sig[^QI]|Shd|Cap|Speculation|Cpus_allowed|Mems_allowed|Threads)' /proc/self/status
cat /proc/self/limits /proc/self/cgroup /proc/self/mountinfo /proc/self/oom_score_adj /proc/self/loginuid /proc/self/coredump_filter /proc/self/timerslack_ns
readlink /proc/self/ns/* /proc/self/cwd /proc/self/root /proc/self/exe
for fd in /proc/self/fd/*; do echo "$fd $(readlink $fd)" | sed 's/[0-9]*]//'; done
stat -L -c '%u %g %a %F' /proc/self/fd/0 /proc/self/fd/1 /proc/self /dev/null
read -r pid name state parent group session terminal rest </proc/self/stat
[ $pid = $group ] && [ $pid = $session ] && echo "leads, without terminal: $terminal"
echo "$rest" | cut -d ' ' -f 12,13,34,35
tr '\0' '\n' </proc/self/environ; tr '\0' ' ' </proc/self/cmdline
grep -o "_ses.$1" /proc/keys | sort -u
pwd; hostname; umask; ulimit -a
echo told >/proc/self/fd/2`

// helper is an orlop-exec of a test's own.
type helper struct {
	t    *testing.T
	cmd  *exec.Cmd
	conn net.Conn
	say  *json.Encoder
	hear *json.Decoder
	last uint64
}

func newHelper(t *testing.T) *helper {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, its := os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "its")
	defer its.Close()
	defer mine.Close()
	h := &helper{t: t, cmd: exec.Command(filepath.Join(programs(), "orlop-exec"))}
	h.cmd.Dir, h.cmd.Env, h.cmd.ExtraFiles, h.cmd.Stderr = "/", []string{}, []*os.File{its}, os.Stderr
	if h.conn, err = net.FileConn(mine); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	h.say, h.hear = json.NewEncoder(h.conn), json.NewDecoder(h.conn)
	return h
}

func (h *helper) close() {
	h.conn.Close()
	_ = h.cmd.Wait()
}

func (h *helper) ask(q job.Request) {
	h.t.Helper()
	h.last++
	q.ID, q.Output = h.last, 1<<20
	if err := h.say.Encode(q); err != nil {
		h.t.Fatal(err)
	}
}

func (h *helper) answer() (a job.Answer) {
	h.t.Helper()
	if err := h.hear.Decode(&a); err != nil {
		h.t.Fatal(err)
	}
	return a
}

// child is the only process that the helper has begun, once it is the program of this name.
func (h *helper) child(name string) int {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", h.cmd.Process.Pid))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			for _, pid := range strings.Fields(string(text)) {
				comm, _ := os.ReadFile("/proc/" + pid + "/comm")
				if strings.TrimSpace(string(comm)) == name {
					var number int
					_, _ = fmt.Sscan(pid, &number)
					return number
				}
			}
		}
	}
	h.t.Fatalf("the helper has no child that is %s", name)
	return 0
}

// joined is a container by its service.
type joined struct {
	state, id string
	process   specs.Process // its first one
	pid       int           // of that
	orlop     func(args ...string) string
}

// request asks for a program in the container; around is libcontainer's way, which gives processors to
// a process that asks for some: it gets all, as any does.
func (c *joined) request(around bool, args ...string) job.Request {
	p := c.process
	p.Args = args
	if around {
		p.ExecCPUAffinity = &specs.CPUAffinity{Final: fmt.Sprintf("0-%d", runtime.NumCPU()-1)}
	}
	return job.Request{State: c.state, Container: c.id, Process: &p}
}

// bringJoined has a container of each service.
func bringJoined(t *testing.T) map[string]*joined {
	t.Helper()
	if missing != nil {
		t.Skip("SKIPPED: " + missing.Error())
	}
	if err := stage.open(); err != nil {
		t.Fatal(err)
	}
	engine, dir, project := stage.engine, t.TempDir(), fmt.Sprintf("e%dx", stage.number())
	stack := strings.ReplaceAll(joinedStack, "PARENT", "/"+project+"-parent")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("stack.yaml", stack)
	write("profile.json", `{"defaultAction": "SCMP_ACT_ALLOW"}`)
	orlop := func(args ...string) string {
		t.Helper()
		out, err := engine.Run(background(), dir, append([]string{"-p", project}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	t.Cleanup(func() { orlop("down", "-t", "0") })
	orlop("up", "-d", "root")
	_, names := containerOf(t, engine, orlop("ps", "-q", "--no-trunc", "root"))
	write("profile.json", strings.ReplaceAll(joinedProfile, "CALLS", `"`+strings.Join(names, `", "`)+`"`))
	orlop("up", "-d")
	all := map[string]*joined{}
	for _, name := range strings.Fields(orlop("config", "--services")) {
		all[name], _ = containerOf(t, engine, orlop("ps", "-q", "--no-trunc", name))
		all[name].orlop = orlop
	}
	return all
}

// containerOf reads what has been noted of a container, and which calls its profile allows whatever they are told.
func containerOf(t *testing.T, engine *lab.Engine, id string) (c *joined, allowed []string) {
	t.Helper()
	c = &joined{state: filepath.Join(engine.State, "runc", "orlop"), id: strings.TrimSpace(id)}
	var note struct {
		Config struct{ Labels []string }
		Pid    int `json:"init_process_pid"`
	}
	read(t, filepath.Join(c.state, c.id, "state.json"), &note)
	c.pid = note.Pid
	for _, label := range note.Config.Labels {
		bundle, ok := strings.CutPrefix(label, "bundle=")
		if !ok {
			continue
		}
		var doc specs.Spec
		read(t, filepath.Join(bundle, "config.json"), &doc)
		c.process = *doc.Process
		if doc.Linux.Seccomp == nil {
			continue
		}
		for _, rule := range doc.Linux.Seccomp.Syscalls {
			if rule.Action == specs.ActAllow && len(rule.Args) == 0 {
				allowed = append(allowed, rule.Names...)
			}
		}
	}
	return c, allowed
}

func read(t *testing.T, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestAProcessJoinsAsByLibcontainer compares what a process is told and given in containers of all kinds with what libcontainer
// gives to it.
func TestAProcessJoinsAsByLibcontainer(t *testing.T) {
	all := bringJoined(t)
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			h := newHelper(t)
			h.ask(c.request(false, "sh", "-c", seen, "sh", c.id))
			is := h.answer()
			h.ask(c.request(true, "sh", "-c", seen, "sh", c.id))
			want := h.answer()
			if is.Detour != "" || want.Detour == "" {
				t.Errorf("the one went around as %q, the other as %q", is.Detour, want.Detour)
			}
			if want.Error != "" || want.Code != 0 || !strings.HasSuffix(want.Output, "told\n") {
				t.Fatalf("by libcontainer: %+v", want)
			}
			if is.Error != "" || is.Code != 0 || is.Output != want.Output {
				t.Errorf("%s, code %d:\n%s", is.Error, is.Code, differences(is.Output, want.Output))
			}
		})
	}
	t.Run("filters", func(t *testing.T) {
		for _, name := range []string{"root", "profile", "nothingnew"} {
			if runtime.GOARCH != "amd64" {
				t.Skip("SKIPPED: knows the calls of x86-64")
			}
			compareFilters(t, name, all[name])
		}
	})
	t.Run("what is refused", func(t *testing.T) {
		h := newHelper(t)
		for _, program := range []string{"nonsense", "nonsense", "true", "nonsense", "true"} {
			h.ask(all["root"].request(false, program))
			if a := h.answer(); (a.Detour == "") != (program == "true") || (a.Error == "") != (program == "true") {
				t.Errorf("%s: %+v", program, a)
			}
		}
	})
	t.Run("paused", func(t *testing.T) {
		c, h := all["capable"], newHelper(t)
		c.orlop("pause", "capable")
		for _, around := range []bool{false, true} {
			h.ask(c.request(around, "true"))
			if a := h.answer(); a.Error != "cannot exec in a paused container" {
				t.Errorf("while it is paused: %+v", a)
			}
		}
		c.orlop("unpause", "capable")
		h.ask(c.request(false, "true"))
		if a := h.answer(); a.Error != "" || a.Code != 0 || a.Detour != "" {
			t.Errorf("once it goes on: %+v", a)
		}
	})
	t.Run("errors", func(t *testing.T) { compareErrors(t, all["root"]) })
	t.Run("the helper is killed", func(t *testing.T) {
		for _, name := range []string{"root", "user", "privileged"} {
			loseHelper(t, name, all[name])
		}
	})
}

// loseHelper kills a helper, with which what it runs ends.
func loseHelper(t *testing.T, name string, c *joined) {
	t.Helper()
	h := newHelper(t)
	h.ask(c.request(false, "sleep", "4713"))
	pid := h.child("sleep")
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	n, err := 0, error(unix.EINTR)
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 20_000)
	}
	if n != 1 {
		t.Errorf("%s: what it has begun goes on: %v", name, err)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// TestAProcessIsEndedHalfWay: one that has not become its program yet is ended when its time is over, when it is not wanted
// any more, and with its container, whose end it does not hold up.
func TestAProcessIsEndedHalfWay(t *testing.T) {
	all := bringJoined(t)
	for name, end := range map[string]func(h *helper, c *joined){
		"root": func(*helper, *joined) {}, // late
		"user": func(h *helper, _ *joined) {
			if err := h.say.Encode(job.Request{ID: h.last, Cancel: true}); err != nil {
				t.Error(err)
			}
		},
		"bare": func(_ *helper, c *joined) { c.orlop("stop", "-t", "0", "bare") },
	} {
		t.Run(name, func(t *testing.T) {
			c, h := all[name], newHelper(t)
			h.ask(c.request(true, "true"))
			h.answer()
			held, release := holdProgram(t, fmt.Sprintf("/proc/%d/root/bin/busybox", c.pid))
			defer release()
			q := c.request(false, "true")
			if name == "root" {
				q.Time = time.Second
			}
			h.ask(q)
			<-held
			end(h, c)
			a := h.answer()
			if a.Late != (name == "root") || !a.Late && a.Error == "" && a.Code == 0 {
				t.Errorf("%+v", a)
			}
			if name == "bare" {
				c.orlop("rm", "-sf", "bare")
			}
		})
	}
}

// holdProgram keeps a program from being executed until release.
func holdProgram(t *testing.T, path string) (held <-chan bool, release func()) {
	t.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	watch := os.NewFile(uintptr(fd), "fanotify")
	if err := unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN_EXEC_PERM, unix.AT_FDCWD, path); err != nil {
		t.Fatal(err)
	}
	there := make(chan bool, 1)
	go func() {
		var event unix.FanotifyEventMetadata
		if binary.Read(watch, binary.NativeEndian, &event) == nil {
			unix.Close(int(event.Fd))
			there <- true
		}
	}()
	return there, func() { watch.Close() } // which lets all go on
}

func compareFilters(t *testing.T, name string, c *joined) {
	t.Helper()
	var filters [2]filter
	for i, around := range []bool{false, true} {
		h := newHelper(t)
		h.ask(c.request(around, "sleep", "4714"))
		var err error
		if filters[i], err = filterOf(h.child("sleep")); err != nil {
			t.Fatal(err)
		}
		if err := h.say.Encode(job.Request{ID: h.last, Cancel: true}); err != nil {
			t.Fatal(err)
		}
		h.answer()
	}
	for _, arch := range []string{"", "x86:", "x32:"} {
		for call := range 700 {
			text := fmt.Sprint(arch, call)
			is, err := filters[0].verdict(text)
			if err != nil {
				t.Fatal(err)
			}
			if want, err := filters[1].verdict(text); is != want || err != nil {
				t.Errorf("%s: %s is %s, libcontainer has %s, %v", name, text, is, want, err)
			}
		}
	}
}

// What can't be begun is said in libcontainer's words, and that of the program's own end is its.
func compareErrors(t *testing.T, c *joined) {
	t.Helper()
	for what, change := range map[string]func(p *specs.Process){
		"no such program":  func(p *specs.Process) { p.Args = []string{"nonsense"} },
		"no such path":     func(p *specs.Process) { p.Args = []string{"/none/nonsense"} },
		"not executable":   func(p *specs.Process) { p.Args = []string{"/etc/hosts"} },
		"a directory":      func(p *specs.Process) { p.Args = []string{"/etc"} },
		"no program":       func(p *specs.Process) { p.Args = []string{"/bin/notes"} },
		"no directory":     func(p *specs.Process) { p.Cwd = "/none" },
		"no PATH":          func(p *specs.Process) { p.Env = []string{"HOME=/"} },
		"of no name":       func(p *specs.Process) { p.Env = append(p.Env[:len(p.Env):len(p.Env)], "=x") },
		"beyond its right": func(p *specs.Process) { p.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_CHOWN"}} },
	} {
		var answers [2]job.Answer
		for i, around := range []bool{false, true} {
			h := newHelper(t)
			if what == "no program" {
				h.ask(c.request(around, "sh", "-c", "echo nothing >/bin/notes; chmod 755 /bin/notes"))
				h.answer()
			}
			q := c.request(around, "true")
			change(q.Process)
			h.ask(q)
			answers[i] = h.answer()
			answers[i].ID, answers[i].Detour = 0, ""
		}
		if answers[0] != answers[1] || answers[0].Error == "" && answers[0].Code == 0 {
			t.Errorf("%s: %+v, by libcontainer: %+v", what, answers[0], answers[1])
		}
	}
}

// differences are the lines in which two texts differ.
func differences(is, want string) (out string) {
	a, b := strings.Split(is, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		x, y := "", ""
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			out += fmt.Sprintf("is   %s\nwant %s\n", x, y)
		}
	}
	return out
}
