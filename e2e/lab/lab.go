// Package lab runs engines for tests and measurements: each with directories
// of its own, driven by the real command, and taken away whole afterwards, also
// when the program that started it is killed. It knows the product from outside
// only, as a user does: by its command, its files and what the kernel shows.
package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Programs are the files that "make build" makes and an engine needs.
func Programs() []string {
	return []string{"orlop", "orlopd", "orlop-engine", "orlop-shim", "containerd-shim-runc-v2", "orlop-exec", "runc"}
}

// FindPrograms says which of the programs are missing in dir.
func FindPrograms(dir string) error {
	var missing []string
	for _, name := range Programs() {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s is not in %s: run \"make build\"", strings.Join(missing, ", "), dir)
	}
	return nil
}

// Engine is an engine with directories of its own. None runs until a command
// needs it.
type Engine struct {
	Bin   string // directory of the programs
	Root  string // ORLOP_ROOT
	State string // ORLOP_STATE
	// Netns is the path of the network namespace that the engine takes for the
	// host; empty: this program's.
	Netns string
	// Variables are further ones of the environment of the commands: NAME=VALUE.
	Variables []string

	confined bool // the root is a file system of its own
}

// NewEngine makes the directories of an engine and tells the reaper of them.
func NewEngine(bin string, reaper *Reaper) (*Engine, error) {
	// On disk, as an engine's root is: what a tmpfs allows tells little.
	root, err := os.MkdirTemp("/var/tmp", "orlop-lab-")
	if err != nil {
		return nil, err
	}
	// Short: the path of a unix socket has 107 bytes.
	state, err := os.MkdirTemp("/run", "oe-")
	if err != nil {
		return nil, errors.Join(err, os.Remove(root))
	}
	e := &Engine{Bin: bin, Root: root, State: state}
	return e, reaper.Watch(root, state)
}

// Confine gives the engine a root of so many megabytes, before it is first started.
func (e *Engine) Confine(megabytes int) error {
	e.confined = true
	err := unix.Mount("orlop-lab", e.Root, "tmpfs", 0, fmt.Sprintf("mode=0711,size=%dm", megabytes))
	if err != nil {
		return fmt.Errorf("cannot make a small disk: %w", err)
	}
	return nil
}

// ID is the name by which the kernel's objects tell engines apart.
func (e *Engine) ID() string { return engineID(e.State) }

func engineID(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:2])
}

// Env is what a command needs to find this engine.
func (e *Engine) Env() []string {
	return append([]string{"ORLOP_ROOT=" + e.Root, "ORLOP_STATE=" + e.State}, e.Variables...)
}

// Command is a call of orlop, to be run in dir.
func (e *Engine) Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	argv := append([]string{filepath.Join(e.Bin, "orlop")}, args...)
	if e.Netns != "" {
		argv = append([]string{"nsenter", "--net=" + e.Netns, "--"}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), e.Env()...)
	return cmd
}

// Run runs orlop and gives its standard output; an error has what it said.
func (e *Engine) Run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := e.Command(ctx, dir, args...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("orlop %s: %w\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return out.String(), nil
}

// Status is what "orlop engine status" says, as far as tests look at it.
type Status struct {
	Running    bool  `json:"running"`
	PID        int   `json:"pid"`
	Memory     int64 `json:"memory"`
	ShimMemory int64 `json:"shim_memory"`
	Containers int   `json:"containers"`
	Keeper     struct {
		PID    int   `json:"pid"`
		Memory int64 `json:"memory"`
	} `json:"keeper"`
}

// Status asks the engine; one that was killed is waited for.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	var s Status
	out, err := e.Run(ctx, "/", "engine", "status", "--format", "json")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

// Kill sends SIGKILL to the engine and, before it, to its keeper if that is
// asked for. It returns when they are gone.
func (e *Engine) Kill(ctx context.Context, keeperToo bool) error {
	s, err := e.Status(ctx)
	if err != nil {
		return err
	}
	pids := []int{s.PID}
	if keeperToo {
		pids = []int{s.Keeper.PID, s.PID}
	}
	for _, pid := range pids {
		if !belongs(pid, e.Root, e.State) {
			return fmt.Errorf("process %d is not of the engine at %s", pid, e.State)
		}
	}
	return kill(pids)
}

// Projects are the names of those that the engine has, also of stopped ones,
// and of those that came no further than a network.
func (e *Engine) Projects(ctx context.Context) ([]string, error) {
	out, err := e.Run(ctx, "/", "ls", "-a", "-q")
	names := strings.Fields(out)
	owner := regexp.MustCompile(`"name":"([^"_]+)_`)
	notes, _ := filepath.Glob(filepath.Join(e.State, "net", "networks", "*"))
	for _, note := range notes {
		text, _ := os.ReadFile(note)
		if m := owner.FindSubmatch(text); m != nil && !slices.Contains(names, string(m[1])) {
			names = append(names, string(m[1]))
		}
	}
	return names, err
}

// Close takes down every project, stops the engine, and says what it left on
// the machine; all of that is removed.
func (e *Engine) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var errs []error
	if _, err := os.Stat(filepath.Join(e.State, "orlop.sock")); err == nil {
		names, err := e.Projects(ctx)
		errs = append(errs, err)
		for _, name := range names {
			_, err := e.Run(ctx, "/", "-p", name, "down", "-v", "--remove-orphans", "-t", "0")
			errs = append(errs, err)
		}
		_, err = e.Run(ctx, "/", "engine", "stop")
		errs = append(errs, err)
	}
	if left := slices.DeleteFunc(Things(e), e.mayStay); len(left) > 0 {
		errs = append(errs, fmt.Errorf("the engine at %s left behind:\n  %s\n%s", e.State, strings.Join(left, "\n  "), e.Logs(3)))
	}
	return errors.Join(append(errs, Sweep(e.Root, e.State))...)
}

// mayStay says of a thing that it goes with the engine's directories, or with
// the network namespace that is its host.
func (e *Engine) mayStay(thing string) bool {
	kind, _, _ := strings.Cut(thing, " ")
	return kind == "file" || e.confined && thing == "mount "+e.Root || e.Netns != "" && (kind == "link" || kind == "rule")
}

// Logs are the last lines of the engine's log, for the report of a failure.
func (e *Engine) Logs(lines int) string {
	var out []string
	files, _ := filepath.Glob(filepath.Join(e.Root, "log", "*.log"))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		all := strings.Split(strings.TrimSpace(string(data)), "\n")
		out = append(out, "-- "+filepath.Base(f))
		out = append(out, all[max(0, len(all)-lines):]...)
	}
	return strings.Join(out, "\n")
}

// Processes are those of the engine that run a program.
func (e *Engine) Processes(program string) []int {
	return slices.DeleteFunc(processes(e.Root, e.State), func(pid int) bool { return programOf(pid) != program })
}
