// Package daemon is what "orlop engine" does: it stops and restarts the engine,
// waits until it is gone or there again, and shows its state and its logs.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/connectivity"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/keeper"
)

// Daemon is the engine as the command that started it sees it.
type Daemon struct{ *cli.Invocation }

// Stop ends the engine and its keeper, and returns when both are gone.
func (d Daemon) Stop(ctx context.Context) error {
	ctx, cancel := d.Interruptible(ctx)
	defer cancel()
	client, err := api.Dial(ctx, d.Socket())
	if errors.Is(err, api.ErrAbsent) {
		fmt.Fprintln(d.Stdout, "no engine is running")
		return nil
	}
	if err != nil {
		return d.DialError(err)
	}
	defer client.Close()
	st, err := d.Greet(ctx, client)
	if errors.Is(err, cli.ErrHangs) {
		return err
	}
	if errors.Is(err, api.ErrCannotStart) {
		return d.stopKeeper(ctx)
	}
	owner := -1
	if err == nil && st.KeeperPid > 0 {
		if owner, err = unix.PidfdOpen(int(st.KeeperPid), 0); err != nil {
			owner = -1
		}
	}
	if err := d.Shutdown(ctx, client, false); err != nil {
		return err
	}
	if err := gone(ctx, client, d.Socket()); err != nil {
		return err
	}
	awaitEnd(owner)
	text := "the engine is stopped"
	if st != nil && st.Containers > 0 {
		text += "; containers keep running, without published ports and names of services until it is back"
	}
	fmt.Fprintln(d.Stdout, text)
	return nil
}

// stopKeeper ends a keeper whose engine can't start.
func (d Daemon) stopKeeper(ctx context.Context) error {
	if err := keeper.Stop(ctx, d.StateDir()); err != nil {
		return err
	}
	fmt.Fprintln(d.Stdout, "the engine is stopped; it could not start")
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
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "unix", socket)
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

// Restart has the engine followed by a new one; one that hangs is killed.
func (d Daemon) Restart(ctx context.Context) error {
	ctx, cancel := d.Interruptible(ctx)
	defer cancel()
	client, err := api.Dial(ctx, d.Socket())
	if errors.Is(err, api.ErrAbsent) {
		if err := d.StartTheEngine(ctx); err != nil {
			return err
		}
		client, err = api.Dial(ctx, d.Socket())
	}
	if err != nil {
		return d.DialError(err)
	}
	defer client.Close()
	before, err := d.Greet(ctx, client)
	if err == nil {
		err = d.Shutdown(ctx, client, true)
	}
	if errors.Is(err, cli.ErrHangs) {
		return d.replace(ctx, client)
	}
	if err != nil {
		return err
	}
	leftReady(ctx, client)
	after, err := d.Greet(ctx, client)
	if err != nil {
		return err
	}
	if after.Version == before.Version && after.Version != d.Version {
		fmt.Fprintln(d.Stderr, d.ErrStyle().Yellow(fmt.Sprintf(
			"it is installed elsewhere than this command, which is %s: \"orlop engine stop\", then \"orlop engine start\", change to the engine beside this command",
			d.Version)))
	}
	fmt.Fprintf(d.Stdout, "the engine is running again (process %d, %s; it was %d, %s)\n", after.Pid, after.Version, before.Pid, before.Version)
	return nil
}

// replace ends an engine that does not answer; its keeper starts the next.
func (d Daemon) replace(ctx context.Context, client *api.Client) error {
	pid, err := keeper.KillEngine(d.StateDir())
	if err != nil {
		return err
	}
	after, err := d.Greet(ctx, client)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.Stdout, "the engine is running again (process %d, %s; %d did not answer and was killed)\n", after.Pid, after.Version, pid)
	return nil
}
