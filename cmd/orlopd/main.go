// Command orlopd is the keeper: the parent of the engine, which it starts and
// starts again, and the holder of what must outlive it. See package keeper.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/orlop/orlop/keeper"
)

// version is set when a release is linked.
var version = "dev"

func main() {
	// Connections are spliced in the kernel; what is left of us is small. The
	// limit makes the collector work harder before memory grows, it never fails.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(16 << 20)
	os.Exit(run())
}

func run() int {
	if filepath.Base(os.Args[0]) == stepRunner {
		return runStep(os.Args[0], os.Args[1:])
	}
	if len(os.Args) > 2 && os.Args[1] == "init" && os.Args[2] == "--" {
		return beInit(os.Args[3:])
	}
	if len(os.Args) > 1 && os.Args[1] == "trial" {
		return runTrial(os.Args[2:])
	}
	state := flag.String("state", "/run/orlop", "directory of sockets and locks")
	root := flag.String("root", "/var/lib/orlop", "directory of what is kept on disk")
	engine := flag.String("engine", "", "program file of the engine (default: orlop-engine beside orlopd)")
	readyFD := flag.Int("ready-fd", 0, "descriptor that is told when the keeper is ready")
	flag.Parse()
	if err := keeper.CloseInherited(*readyFD); err != nil {
		fmt.Fprintln(os.Stderr, "orlopd:", err)
		return 1
	}
	var ready io.WriteCloser
	if *readyFD > 2 {
		syscall.CloseOnExec(*readyFD)
		ready = os.NewFile(uintptr(*readyFD), "ready")
	}
	err := keep(*state, *root, *engine, ready)
	running, already := errors.AsType[*keeper.RunningError](err)
	switch {
	case err == nil:
		return 0
	case already:
		tell(ready, keeper.RunningWord)
		fmt.Fprintln(os.Stderr, "orlopd:", running)
		return 0
	}
	tell(ready, err.Error()+"\n")
	fmt.Fprintln(os.Stderr, "orlopd:", err)
	return 1
}

// tell says why there is no keeper to whoever started us; it may be gone, and
// the pipe is closed already if we were ready once.
func tell(ready io.Writer, text string) {
	if ready != nil {
		_, _ = io.WriteString(ready, text)
	}
}

func keep(state, root, engine string, ready io.WriteCloser) error {
	if err := keeper.KeepPrivate(); err != nil {
		return err
	}
	outliveServices()
	if engine == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("cannot find the engine: %w", err)
		}
		engine = filepath.Join(filepath.Dir(self), "orlop-engine")
	}
	if _, err := os.Stat(engine); err != nil {
		return fmt.Errorf("no engine beside orlopd: %w", err)
	}
	for _, dir := range []*string{&state, &root, &engine} {
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	log, err := keeper.OpenLog(root)
	if err != nil {
		return err
	}
	defer log.Close()
	// SIGHUP comes with the end of a terminal, which is none of our business.
	signal.Ignore(syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return keeper.Run(ctx, keeper.Options{
		State: state, Root: root, Engine: engine, Version: version, Ready: ready,
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
}
