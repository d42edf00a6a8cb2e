package lab

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Search says where a text is that belongs to nobody any more: in files below
// the directories of an engine, in the arguments and environment of its
// processes, and, where asked, in their memory.
func Search(e *Engine, text string, memory bool) []string {
	var found []string
	for _, dir := range []string{e.Root, e.State} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && fileHas(path, text) {
				found = append(found, "file "+path)
			}
			return nil
		})
	}
	for _, pid := range processes(e.Root, e.State) {
		for _, what := range []string{"cmdline", "environ"} {
			if data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, what)); bytes.Contains(data, []byte(text)) {
				found = append(found, what+" of "+programOf(pid))
			}
		}
		if memory && memoryHas(pid, text) {
			found = append(found, "memory of "+programOf(pid))
		}
	}
	return found
}

func fileHas(path, text string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && has(f.ReadAt, 0, info.Size(), text)
}

// memoryHas looks at what a process may read.
func memoryHas(pid int, text string) bool {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return false
	}
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return false
	}
	defer mem.Close()
	for s := bufio.NewScanner(maps); s.Scan(); {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(s.Text(), "%x-%x %s", &from, &to, &mode); err != nil || mode[0] != 'r' || strings.Contains(s.Text(), "[v") {
			continue
		}
		if has(mem.ReadAt, from, to-from, text) {
			return true
		}
	}
	return false
}

// has says whether a text is in what read gives, across the pieces that it is
// read in.
func has(read func([]byte, int64) (int, error), from, size int64, text string) bool {
	buf := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(buf) - len(text)) {
		n, _ := read(buf[:min(int64(len(buf)), size-at)], from+at) // what can't be read has nothing
		if bytes.Contains(buf[:n], []byte(text)) {
			return true
		}
	}
	return false
}
