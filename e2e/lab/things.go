package lab

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Things lists what the machine has of an engine: links, tables and rules of
// the firewall, mounts, cgroups, processes, and the files under its state
// directory and, where containers and networks leave them, under its root.
func Things(e *Engine) []string {
	var all []string
	all = append(all, links(e)...)
	all = append(all, firewall(e)...)
	all = append(all, prefixed("mount ", mounts(e.Root, e.State))...)
	all = append(all, prefixed("cgroup ", cgroups(e.ID()))...)
	for _, pid := range processes(e.Root, e.State) {
		all = append(all, "process "+programOf(pid))
		if programOf(pid) == "orlopd" {
			all = append(all, prefixed("the keeper holds ", held(pid, e.State))...)
		}
	}
	all = append(all, files(e)...)
	slices.Sort(all)
	return all
}

func prefixed(kind string, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, kind+n)
	}
	return out
}

// programOf is the program of a process without what changes from run to run.
func programOf(pid int) string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "that has ended"
	}
	return filepath.Base(exe)
}

func links(e *Engine) []string {
	if e.Netns != "" {
		out, _ := exec.Command("nsenter", "--net="+e.Netns, "ip", "-br", "link").Output()
		var names []string
		for line := range strings.Lines(string(out)) {
			names = append(names, "link "+strings.Fields(line)[0])
		}
		return names
	}
	all, _ := net.Interfaces()
	var out []string
	for _, l := range all {
		if strings.HasPrefix(l.Name, "or"+e.ID()) {
			out = append(out, "link "+l.Name)
		}
	}
	return out
}

// firewall gives the rules that name the engine, or all in a namespace of its
// own: there, nothing of the host's own may change either.
func firewall(e *Engine) []string {
	argv := []string{"nft", "--stateless", "list", "ruleset"}
	if e.Netns != "" {
		argv = append([]string{"nsenter", "--net=" + e.Netns}, argv...)
	}
	text, _ := exec.Command(argv[0], argv[1:]...).Output()
	var out []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if e.Netns != "" || strings.Contains(line, "orlop_"+e.ID()) || strings.Contains(line, "orlop "+e.ID()) ||
			strings.Contains(line, "or"+e.ID()) {
			out = append(out, "rule "+line)
		}
	}
	return out
}

// held are the files below a directory that a process has open: pipes of containers.
func held(pid int, dir string) []string {
	var out []string
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, l := range links {
		target, err := os.Readlink(l)
		if err == nil && under(target, filepath.Join(dir, "fifo")) {
			out = append(out, target)
		}
	}
	return out
}

// mounts are the mount points under any of the directories, and those elsewhere of
// what is below them; the last made first.
func mounts(dirs ...string) []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) > 4 && slices.ContainsFunc(dirs, func(d string) bool { return under(fields[4], d) || strings.Contains(s.Text(), d+"/") }) {
			out = append(out, fields[4])
		}
	}
	slices.Reverse(out)
	return out
}

func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// cgroups are those of the engine, in every hierarchy, the deepest first.
func cgroups(id string) []string {
	var out []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/orlop-"+id) {
			out = append(out, path)
		}
		return nil
	})
	slices.Reverse(out)
	return out
}

// processes are those of the engine: they name one of its directories in their
// arguments, run a file below them, live on a file system from there, or are in
// one of its cgroups.
func processes(root, state string) []int {
	var out []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() && belongs(pid, root, state) {
			out = append(out, pid)
		}
	}
	return out
}

func belongs(pid int, root, state string) bool {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if exe, err := os.Readlink(dir + "exe"); err != nil || under(exe, root) {
		return err == nil // a process without a file is of the kernel, or a zombie
	}
	args, _ := os.ReadFile(dir + "cmdline")
	for arg := range strings.SplitSeq(string(args), "\x00") {
		_, value, _ := strings.Cut(arg, "=")
		if under(arg, root) || under(arg, state) || under(value, root) || under(value, state) {
			return true
		}
	}
	if groups, _ := os.ReadFile(dir + "cgroup"); strings.Contains(string(groups), "/orlop-"+engineID(state)) {
		return true
	}
	table, _ := os.ReadFile(dir + "mountinfo")
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			return strings.Contains(line, "="+root+"/")
		}
	}
	return false
}

// files are the entries that a container, network or volume has of its own. What
// the engine keeps for itself comes and goes as it likes.
func files(e *Engine) []string {
	var out []string
	for _, dir := range []string{e.State, filepath.Join(e.Root, "volumes"), filepath.Join(e.Root, "containers"), filepath.Join(e.Root, "logs")} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			// containerd's directory of a namespace's tasks stays when none is left.
			if err == nil && path != dir && d.IsDir() && !strings.HasSuffix(filepath.Dir(path), ".runtime.v2.task") {
				out = append(out, "file "+path)
			}
			return nil
		})
	}
	return out
}

// Running are the processes of an engine and of its containers that run a program
// of this name.
func Running(e *Engine, program string) []int {
	var out []int
	for _, pid := range processes(e.Root, e.State) {
		if programOf(pid) == program {
			out = append(out, pid)
		}
	}
	return out
}

// Links are the names of an engine's links on the host: its bridges, or the rest.
func Links(e *Engine, bridges bool) []string {
	var out []string
	for _, thing := range links(e) {
		name := strings.TrimPrefix(thing, "link ")
		_, err := os.Stat(filepath.Join("/sys/class/net", name, "bridge"))
		if (err == nil) == bridges {
			out = append(out, name)
		}
	}
	return out
}
