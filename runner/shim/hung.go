package shim

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"

	"github.com/orlop/orlop/runner/proc"
)

// hangTimeout is how long a shim may take to answer before it counts as hung:
// as long as containerd gives it to load its tasks, after which it kills them.
const hangTimeout = 5 * time.Second

// EndHung kills the shims of an earlier engine that don't answer: their
// containers count as lost, as those of a shim that was killed. A shim that
// hangs holds their pipes open, and the engine would wait for it when it
// starts. dir has a directory for each shim; ctx carries the namespace. It is
// called before containerd is started.
func EndHung(ctx context.Context, dir string, log *slog.Logger) {
	dirs, _ := filepath.Glob(filepath.Join(dir, "*"))
	var wg sync.WaitGroup
	for _, dir := range dirs {
		var file document
		if doc, err := os.ReadFile(filepath.Join(dir, "shim.json")); err != nil || json.Unmarshal(doc, &file) != nil {
			continue
		}
		wg.Go(func() {
			if !hangs(ctx, file.Address) {
				return
			}
			pid := kill(filepath.Base(dir))
			log.Warn("a shim did not answer and was killed: its containers are lost", "project", file.Project, "pid", pid)
		})
	}
	wg.Wait()
}

// EndForgotten kills the shims of an engine at an address that have no directory any
// more: somebody has removed the state directory, and nobody reaches them.
func EndForgotten(dir, address string, log *slog.Logger) {
	for _, process := range proc.All() {
		args, ok := shimArgs(process)
		if !ok || argument(args, "-address") != address || !isAmongUs(process) {
			continue
		}
		id := argument(args, "-id")
		if _, err := os.Stat(filepath.Join(dir, id)); errors.Is(err, os.ErrNotExist) && id != "" {
			log.Warn("a shim that nobody knows any more was killed", "id", id, "pid", kill(id))
		}
	}
}

// isAmongUs says that a process, by its directory in /proc, sees the files and the
// processes that we see: one of an engine in a container may have the same address.
func isAmongUs(process string) bool {
	for _, kind := range []string{"mnt", "pid"} {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		theirs, terr := os.Readlink(filepath.Join(process, "ns", kind))
		if err != nil || terr != nil || ours != theirs {
			return false
		}
	}
	return true
}

// answerTimeout is how long a command that looks at a shim waits for its answer,
// which takes less than a millisecond.
const answerTimeout = 3 * time.Second

// Hangs says that a shim gives no answer.
func (p *Pool) Hangs(ctx context.Context, s *Shim) bool {
	p.mu.Lock()
	address, ended := s.address, s.ended
	p.mu.Unlock()
	if ended || address == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return hangs(ctx, address)
}

// KillHung asks a shim again, and kills it if it gives no answer: all of its
// containers are lost, which the wait for each of them tells. It says whether it was one.
func (p *Pool) KillHung(ctx context.Context, s *Shim) bool {
	hung := p.Hangs(ctx, s) && ctx.Err() == nil
	p.mu.Lock()
	hung = hung || s.dead
	first := hung && !s.dead
	s.dead = hung
	p.mu.Unlock()
	if first {
		pid := killForeign(s.foreign)
		if s.foreign == "" {
			pid = kill(filepath.Base(s.dir))
		}
		p.Log.Warn("a shim did not answer and was killed: its containers are lost", "project", s.project, "container", s.foreign, "pid", pid)
	}
	return hung
}

// hangs says that a shim takes calls and gives no answer, be it an error.
func hangs(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, hangTimeout)
	defer cancel()
	client, err := dial(ctx, address)
	if err != nil {
		return errors.Is(err, context.DeadlineExceeded)
	}
	defer client.Close()
	_, _ = taskapi.NewTTRPCTaskClient(client).Connect(ctx, &taskapi.ConnectRequest{ID: "orlop"})
	return errors.Is(ctx.Err(), context.DeadlineExceeded)
}

// kill kills the shim of an ID, which is in its arguments and in no other
// process's. It gives the process, or 0.
func kill(id string) int {
	for _, process := range proc.All() {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || !isShimOf(process, id) {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if isShimOf(process, id) { // the descriptor is its, not a successor's
			_ = p.Kill()
		}
		_ = p.Release()
		return pid
	}
	return 0
}

// killForeign kills the shim of a container that containerd has started, by whatever name: it
// has the container's ID in its arguments. It gives the process, or 0.
func killForeign(id string) (killed int) {
	if !isID(id) {
		return 0 // others may have it in their arguments
	}
	isIts := func(process string) bool {
		text, err := os.ReadFile(process + "/cmdline")
		return err == nil && argument(strings.Split(string(text), "\x00"), "-id") == id && isAmongUs(process)
	}
	for _, process := range proc.All() { // what starts it may be among them
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || !isIts(process) {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if isIts(process) && p.Kill() == nil {
			killed = pid
		}
		_ = p.Release()
	}
	return killed
}

// isShimOf says that a process, by its directory in /proc, is the shim of an ID.
func isShimOf(process, id string) bool {
	args, ok := shimArgs(process)
	return ok && argument(args, "-id") == id
}

// shimArgs are the arguments of a process that is a shim.
func shimArgs(process string) (args []string, ok bool) {
	text, err := os.ReadFile(process + "/cmdline")
	if err != nil {
		return nil, false
	}
	args = strings.Split(string(text), "\x00")
	return args, isOurs(filepath.Base(args[0]))
}

// argument is what follows a flag, "" if it isn't there.
func argument(args []string, flag string) string {
	at := slices.Index(args, flag)
	if at < 0 || at+1 >= len(args) {
		return ""
	}
	return args[at+1]
}
