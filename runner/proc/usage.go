package proc

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Usage is what the processes of a cgroup have used until a moment.
type Usage struct {
	CPU         time.Duration // of all of them, on all cores
	Memory      int64         // without what the kernel could drop of its files at once
	MemoryLimit int64         // the machine's memory where it has no limit
	Read        int64         // from block devices
	Written     int64
	Processes   int
}

// Process is one process of a cgroup, as the host sees it.
type Process struct {
	PID       int
	PPID      int
	UID       int
	StartedAt time.Time
	CPU       time.Duration
	Memory    int64 // resident
	Command   string
	Terminal  string // "pts/0"; "" if it has none
}

// Measure reads the counters of a cgroup.
func Measure(cgroup string) Usage {
	var u Usage
	u.measure(os.DirFS("/"), strings.TrimPrefix(cgroup, "/"))
	return u
}

// Traffic is how many bytes the network namespace of a process has received and
// sent, loopback left out.
func Traffic(pid int) (received, sent int64) {
	return traffic(text(os.DirFS("/"), "proc/"+strconv.Itoa(pid)+"/net/dev"))
}

// Processes are those of a cgroup and of the ones below it.
func Processes(cgroup string) []Process {
	root := os.DirFS("/")
	return processList(root, groupProcesses(root, strings.TrimPrefix(cgroup, "/")))
}

// text is a small file, or "" if it is not there.
func text(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}

// firstOf is a file of a cgroup: of v2, else of the named hierarchy of v1.
func firstOf(root fs.FS, group, v2, hierarchy, v1 string) (content string, isV2 bool) {
	if content = text(root, path.Join("sys/fs/cgroup", group, v2)); content != "" {
		return content, true
	}
	return text(root, path.Join("sys/fs/cgroup", hierarchy, group, v1)), false
}

// measure reads the counters of a cgroup, of v2, v1, or both of them.
func (u *Usage) measure(root fs.FS, group string) {
	if content, isV2 := firstOf(root, group, "cpu.stat", "cpuacct", "cpuacct.usage"); isV2 {
		u.CPU = time.Duration(field(content, "usage_usec")) * time.Microsecond
	} else {
		u.CPU = time.Duration(count(content))
	}
	content, _ := firstOf(root, group, "memory.current", "memory", "memory.usage_in_bytes")
	u.Memory = count(content)
	content, isV2 := firstOf(root, group, "memory.stat", "memory", "memory.stat")
	inactive := "total_inactive_file"
	if isV2 {
		inactive = "inactive_file"
	}
	u.Memory = max(0, u.Memory-field(content, inactive))
	content, _ = firstOf(root, group, "memory.max", "memory", "memory.limit_in_bytes")
	u.MemoryLimit = count(content)
	machine := field(strings.ReplaceAll(text(root, "proc/meminfo"), ":", " "), "MemTotal") << 10
	if u.MemoryLimit == 0 || u.MemoryLimit > machine {
		u.MemoryLimit = machine
	}
	content, _ = firstOf(root, group, "pids.current", "pids", "pids.current")
	u.Processes = int(count(content))
	if content, isV2 = firstOf(root, group, "io.stat", "blkio", "blkio.throttle.io_service_bytes"); isV2 {
		u.Read, u.Written = sumOf(content, "rbytes="), sumOf(content, "wbytes=")
	} else {
		u.Read, u.Written = sumOf(content, "Read "), sumOf(content, "Write ")
	}
}

// count is a file with one number; "max" is 0.
func count(content string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(content), 10, 64)
	return n
}

// field is a value of a file with a name and a number a line.
func field(content, name string) int64 {
	for line := range strings.Lines(content) {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == name {
			n, _ := strconv.ParseInt(words[1], 10, 64)
			return n
		}
	}
	return 0
}

// sumOf sums up the numbers that stand behind a word, a device each.
func sumOf(content, word string) int64 {
	var sum int64
	for line := range strings.Lines(content) {
		if _, after, ok := strings.Cut(line, word); ok {
			digits, _, _ := strings.Cut(strings.TrimSpace(after), " ")
			sum += count(digits)
		}
	}
	return sum
}

// traffic sums up /proc/PID/net/dev of a network namespace, without loopback.
func traffic(content string) (received, sent int64) {
	for line := range strings.Lines(content) {
		name, counters, ok := strings.Cut(line, ":")
		words := strings.Fields(counters)
		if !ok || strings.TrimSpace(name) == "lo" || len(words) < 9 {
			continue
		}
		received += count(words[0])
		sent += count(words[8])
	}
	return received, sent
}

// groupProcesses are the processes of a cgroup and of those below it.
func groupProcesses(root fs.FS, group string) []int {
	top := path.Join("sys/fs/cgroup", group)
	if text(root, path.Join(top, "cgroup.procs")) == "" {
		top = path.Join("sys/fs/cgroup/pids", group)
	}
	var pids []int
	_ = fs.WalkDir(root, top, func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			for _, pid := range strings.Fields(text(root, path.Join(name, "cgroup.procs"))) {
				pids = append(pids, int(count(pid)))
			}
		}
		return nil
	})
	slices.Sort(pids)
	return pids
}

// ticks of the kernel's clock in a second (USER_HZ, which is the same on all of
// Linux's architectures that Orlop runs on).
const ticks = 100

// processList reads the processes; one that has ended meanwhile is left out.
func processList(root fs.FS, pids []int) []Process {
	booted := time.Unix(field(text(root, "proc/stat"), "btime"), 0)
	var out []Process
	for _, pid := range pids {
		dir := "proc/" + strconv.Itoa(pid)
		stat := text(root, dir+"/stat")
		open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
		if open < 0 || end < open {
			continue
		}
		words := strings.Fields(stat[end+1:]) // from the state on: field 3 of proc_pid_stat(5)
		if len(words) < 22 {
			continue
		}
		status := text(root, dir+"/status")
		command := string(bytes.TrimSpace(bytes.ReplaceAll([]byte(text(root, dir+"/cmdline")), []byte{0}, []byte{' '})))
		if command == "" {
			command = "[" + stat[open+1:end] + "]"
		}
		out = append(out, Process{
			PID: pid, PPID: int(count(words[1])), UID: int(field(status, "Uid:")),
			StartedAt: booted.Add(time.Duration(count(words[19])) * time.Second / ticks),
			CPU:       time.Duration(count(words[11])+count(words[12])) * time.Second / ticks,
			Memory:    field(status, "VmRSS:") << 10, Command: command, Terminal: terminal(count(words[4])),
		})
	}
	return out
}

// terminal is the name of a terminal by its device number (tty_nr of proc_pid_stat(5)).
func terminal(device int64) string {
	major, minor := device>>8&0xfff, device&0xff|device>>12&0xfff00
	const pts = 136 // and the seven majors behind it, admin-guide/devices.txt of the kernel
	switch {
	case device == 0:
		return ""
	case major >= pts && major < pts+8:
		return fmt.Sprintf("pts/%d", (major-pts)<<8|minor)
	case major == 4 && minor < 64:
		return fmt.Sprintf("tty%d", minor)
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

// Sample is what a running container has used until a moment.
type Sample struct {
	Usage
	At          time.Time
	ID          string
	Name        string
	Service     string
	Number      int
	StartedAt   time.Time
	NetReceived int64
	NetSent     int64
	List        []Process // only if asked for
}
