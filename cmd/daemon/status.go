package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// line is the state of the engine as "engine status --format json"
// prints it. Times are RFC 3339, sizes bytes.
type line struct {
	Running    bool              `json:"running"`
	Version    string            `json:"version,omitempty"`
	PID        int64             `json:"pid,omitempty"`
	Started    *time.Time        `json:"started,omitempty"`
	Memory     int64             `json:"memory,omitempty"`
	Goroutines int32             `json:"goroutines,omitempty"`
	Restarts   int32             `json:"restarts"`
	Keeper     *keeperLine       `json:"keeper,omitempty"`
	ShimMemory int64             `json:"shim_memory,omitempty"`
	Containers int32             `json:"containers"`
	Activities []string          `json:"activities"`
	Components map[string]string `json:"components,omitempty"`
	Warnings   []string          `json:"warnings,omitempty"`
	Root       string            `json:"root"`
	State      string            `json:"state"`
}

type keeperLine struct {
	Version string    `json:"version"`
	PID     int64     `json:"pid"`
	Started time.Time `json:"started"`
	Memory  int64     `json:"memory"`
}

// Status shows the engine's state, as text or json. Where none runs the exit code
// says so.
func (d Daemon) Status(ctx context.Context, format string) error {
	ctx, cancel := d.Interruptible(ctx)
	defer cancel()
	l := line{Root: d.RootDir(), State: d.StateDir(), Activities: []string{}}
	client, err := api.Dial(ctx, d.Socket())
	if err != nil && !errors.Is(err, api.ErrAbsent) {
		return d.DialError(err)
	}
	if err == nil {
		defer client.Close()
		status, err := d.Greet(ctx, client)
		if err != nil {
			return err
		}
		l.fill(status)
	}
	if format == "json" {
		enc := json.NewEncoder(d.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(l); err != nil {
			return err
		}
	} else {
		l.print(d.Stdout, d.Now(), d.Version)
	}
	if !l.Running {
		return cli.Exit{Code: cli.ExitFailure}
	}
	return nil
}

func (l *line) fill(s *api.StatusReply) {
	started := time.UnixMilli(s.StartedUnixMs)
	l.Running, l.Version, l.PID, l.Started, l.Memory, l.Restarts, l.Goroutines = true, s.Version, s.Pid, &started, s.MemoryBytes, s.Restarts, s.Goroutines
	l.ShimMemory, l.Containers, l.Components, l.Warnings = s.ShimMemoryBytes, s.Containers, s.Components, s.Warnings
	l.Activities = slices.Concat(l.Activities, s.Activities)
	l.Root, l.State = cmp.Or(s.Root, l.Root), cmp.Or(s.State, l.State)
	if s.KeeperPid != 0 {
		l.Keeper = &keeperLine{Version: s.KeeperVersion, PID: s.KeeperPid, Started: time.UnixMilli(s.KeeperStartedUnixMs), Memory: s.KeeperMemoryBytes}
	}
}

func (l *line) print(w io.Writer, now time.Time, command string) {
	if !l.Running {
		fmt.Fprintf(w, "engine      not running\nroot        %s\nstate       %s\n", l.Root, l.State)
		return
	}
	fmt.Fprintf(w, "engine      process %d, %s, up %s, %s\n", l.PID, l.Version, strings.ToLower(display.Span(now.Sub(*l.Started))), display.Bytes(l.Memory))
	if l.Keeper != nil {
		fmt.Fprintf(w, "keeper      process %d, %s, up %s, %s\n", l.Keeper.PID, l.Keeper.Version,
			strings.ToLower(display.Span(now.Sub(l.Keeper.Started))), display.Bytes(l.Keeper.Memory))
	}
	fmt.Fprintf(w, "containers  %d running, their shims %s\n", l.Containers, display.Bytes(l.ShimMemory))
	if l.Restarts > 0 {
		fmt.Fprintf(w, "restarts    %d of the engine under this keeper\n", l.Restarts)
	}
	doing := "nothing"
	if len(l.Activities) > 0 {
		doing = strings.Join(l.Activities, "\n            ")
	}
	fmt.Fprintf(w, "doing       %s\n", doing)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l.Components)) {
		parts = append(parts, name+" "+l.Components[name])
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "made of     %s\n", strings.Join(parts, ", "))
	}
	fmt.Fprintf(w, "root        %s\nstate       %s\n", l.Root, l.State)
	for _, warning := range l.Warnings {
		fmt.Fprintf(w, "warning     %s\n", warning)
	}
	if l.Version != command {
		fmt.Fprintf(w, "warning     the command is %s: run \"orlop engine restart\"; containers keep running\n", command)
	}
}
