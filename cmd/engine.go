package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/connectivity"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/keeper"
)

func (a *app) engineCommand() *cobra.Command {
	return verbGroup("engine", "Start, stop and look at the engine", "  orlop engine status\n  orlop engine logs -f",
		&cobra.Command{
			Use: "start", Short: "Start the engine; other commands do so by themselves", Example: "  orlop engine start", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return a.withEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
					status, err := client.Status(ctx, &api.StatusRequest{})
					if err == nil {
						fmt.Fprintf(a.Stdout, "the engine is running (process %d)\n", status.Pid)
					}
					return err
				})
			},
		},
		&cobra.Command{
			Use: "stop", Short: "Stop the engine; containers keep running", Example: "  orlop engine stop", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.engineStop(c.Context()) },
		},
		&cobra.Command{
			Use: "restart", Short: "Restart the engine, to upgrade it; containers keep running", Example: "  orlop engine restart", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return a.engineRestart(c.Context()) },
		},
		a.engineStatusCommand(), a.engineLogsCommand())
}

func (a *app) engineStop(ctx context.Context) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := api.Dial(ctx, a.Socket())
	if errors.Is(err, api.ErrAbsent) {
		fmt.Fprintln(a.Stdout, "no engine is running")
		return nil
	}
	if err != nil {
		return a.DialError(err)
	}
	defer client.Close()
	st, err := a.Greet(ctx, client)
	if errors.Is(err, cli.ErrHangs) {
		return err
	}
	if errors.Is(err, api.ErrCannotStart) {
		return a.keeperStop(ctx)
	}
	owner := -1
	if err == nil && st.KeeperPid > 0 {
		if owner, err = unix.PidfdOpen(int(st.KeeperPid), 0); err != nil {
			owner = -1
		}
	}
	if err := a.Shutdown(ctx, client, false); err != nil {
		return err
	}
	if err := gone(ctx, client, a.Socket()); err != nil {
		return err
	}
	awaitEnd(owner)
	text := "the engine is stopped"
	if st != nil && st.Containers > 0 {
		text += "; containers keep running"
	}
	fmt.Fprintln(a.Stdout, text)
	return nil
}

// keeperStop ends a keeper whose engine can't start.
func (a *app) keeperStop(ctx context.Context) error {
	if err := keeper.Stop(ctx, a.StateDir()); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, "the engine is stopped; it could not start")
	return nil
}

// awaitEnd waits for the end of a process that a descriptor stands for: a
// keeper that has closed its socket is about to end.
func awaitEnd(pidfd int) {
	if pidfd < 0 {
		return
	}
	defer unix.Close(pidfd)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 5000)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// gone waits until the engine has closed its connection, and then until its
// keeper has closed the socket: a connection that nobody accepts any more ends
// with the listener.
func gone(ctx context.Context, client *api.Client, socket string) error {
	leftReady(ctx, client)
	for ctx.Err() == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return context.Cause(ctx)
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		_, err = conn.Read(make([]byte, 1))
		stop()
		conn.Close()
		if err == nil {
			return errors.New("the engine was started again meanwhile")
		}
	}
	return context.Cause(ctx)
}

// leftReady waits until the connection to the engine has ended.
func leftReady(ctx context.Context, client *api.Client) {
	for client.Conn().GetState() == connectivity.Ready {
		if !client.Conn().WaitForStateChange(ctx, connectivity.Ready) {
			return
		}
	}
}

func (a *app) engineRestart(ctx context.Context) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := api.Dial(ctx, a.Socket())
	if errors.Is(err, api.ErrAbsent) {
		if err := a.StartTheEngine(ctx); err != nil {
			return err
		}
		client, err = api.Dial(ctx, a.Socket())
	}
	if err != nil {
		return a.DialError(err)
	}
	defer client.Close()
	before, err := a.Greet(ctx, client)
	if err == nil {
		err = a.Shutdown(ctx, client, true)
	}
	if errors.Is(err, cli.ErrHangs) {
		return a.engineReplace(ctx, client)
	}
	if err != nil {
		return err
	}
	leftReady(ctx, client)
	after, err := a.Greet(ctx, client)
	if err != nil {
		return err
	}
	if after.Version == before.Version && after.Version != a.Version {
		fmt.Fprintln(a.Stderr, a.ErrStyle().Yellow(fmt.Sprintf(
			"it is installed elsewhere than this command, which is %s: \"orlop engine stop\", then \"orlop engine start\", change to the engine beside this command",
			a.Version)))
	}
	fmt.Fprintf(a.Stdout, "the engine is running again (process %d, %s; it was %d, %s)\n", after.Pid, after.Version, before.Pid, before.Version)
	return nil
}

// engineReplace ends an engine that does not answer; its keeper starts the next.
func (a *app) engineReplace(ctx context.Context, client *api.Client) error {
	pid, err := keeper.KillEngine(a.StateDir())
	if err != nil {
		return err
	}
	after, err := a.Greet(ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "the engine is running again (process %d, %s; %d did not answer and was killed)\n", after.Pid, after.Version, pid)
	return nil
}

func (a *app) engineStatusCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "status", Short: "Show the engine's processes, versions, memory and work", Example: "  orlop engine status --format json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := choice("format", format, "text", "json"); err != nil {
				return err
			}
			return a.engineStatus(c.Context(), format)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text or json")
	return c
}

// engineLine is the state of the engine as "engine status --format json"
// prints it. Times are RFC 3339, sizes bytes.
type engineLine struct {
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

func (a *app) engineStatus(ctx context.Context, format string) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	line := engineLine{Root: a.RootDir(), State: a.StateDir(), Activities: []string{}}
	client, err := api.Dial(ctx, a.Socket())
	if err != nil && !errors.Is(err, api.ErrAbsent) {
		return a.DialError(err)
	}
	if err == nil {
		defer client.Close()
		status, err := a.Greet(ctx, client)
		if err != nil {
			return err
		}
		line.fill(status)
	}
	if format == "json" {
		enc := json.NewEncoder(a.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(line); err != nil {
			return err
		}
	} else {
		line.print(a.Stdout, a.Now(), a.Version)
	}
	if !line.Running {
		return cli.Exit{Code: cli.ExitFailure}
	}
	return nil
}

func (l *engineLine) fill(s *api.StatusReply) {
	started := time.UnixMilli(s.StartedUnixMs)
	l.Running, l.Version, l.PID, l.Started, l.Memory, l.Restarts, l.Goroutines = true, s.Version, s.Pid, &started, s.MemoryBytes, s.Restarts, s.Goroutines
	l.ShimMemory, l.Containers, l.Components, l.Warnings = s.ShimMemoryBytes, s.Containers, s.Components, s.Warnings
	l.Activities = slices.Concat(l.Activities, s.Activities)
	l.Root, l.State = cmp.Or(s.Root, l.Root), cmp.Or(s.State, l.State)
	if s.KeeperPid != 0 {
		l.Keeper = &keeperLine{Version: s.KeeperVersion, PID: s.KeeperPid, Started: time.UnixMilli(s.KeeperStartedUnixMs), Memory: s.KeeperMemoryBytes}
	}
}

func (l *engineLine) print(w io.Writer, now time.Time, command string) {
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
