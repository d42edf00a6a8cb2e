//go:build cgo

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What libcontainer leaves of a process that could not be begun, as its container
// ended meanwhile, are children of ours that nobody waits for; and the container's first
// process can't end before they are reaped. They are told from the children of other
// starts by what is left of those once these starts are over.

// reapStrangers reaps what a start that failed has left; the caller holds s.mu.
func (s *server) reapStrangers() {
	suspects := children()
	for _, r := range s.running {
		delete(suspects, r.pid)
	}
	if len(suspects) == 0 {
		return
	}
	others := make([]chan struct{}, 0, len(s.starts))
	for over := range s.starts {
		others = append(others, over)
	}
	go func() {
		patience, end := context.WithTimeout(context.Background(), hungAfter)
		defer end()
		for _, over := range others {
			select {
			case <-over:
			case <-patience.Done(): // it hangs: what it has begun is taken for strangers, and it fails when it goes on
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range s.running {
			delete(suspects, r.pid)
		}
		for pid, began := range suspects {
			if beginOf(pid) == began {
				_ = unix.Kill(pid, unix.SIGKILL) // one that goes on is nobody's
				go func() { _, _ = unix.Wait4(pid, nil, 0, nil) }()
			}
		}
	}()
}

// children are our children by their numbers, with when they began.
func children() map[int]string {
	out := map[int]string{}
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				out[pid] = beginOf(pid)
			}
		}
	}
	if len(lists) > 0 {
		return out
	}
	// A kernel without these lists.
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if fields := statOf(pid); len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			out[pid] = beginOf(pid)
		}
	}
	return out
}

// beginOf is when a process began, in ticks of the kernel; "" of none.
func beginOf(pid int) string {
	if fields := statOf(pid); len(fields) > 19 {
		return fields[19]
	}
	return ""
}

// statOf are the fields of a process's stat file from its state on: proc(5).
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	at := strings.LastIndex(string(text), ") ")
	if at < 0 {
		return nil
	}
	return strings.Fields(string(text)[at+2:])
}
