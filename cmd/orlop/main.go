// Command orlop builds and runs a multi-service stack from one file. See
// package cmd.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/terminal"
)

// version is set when a release is linked.
var version = "dev"

func main() {
	collectLater()
	// The build session's HTTP/2 server logs a connection that ends while it
	// writes; what a user needs to know comes from the verbs alone.
	log.SetOutput(io.Discard)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH, syscall.SIGCONT)
	os.Exit(cmd.Run(context.Background(), os.Args[1:], cli.World{
		Version:     version,
		Environ:     os.Environ(),
		Stdin:       os.Stdin,
		Stdout:      os.Stdout,
		Stderr:      os.Stderr,
		Signals:     cmd.WithoutRepeats(signals, time.Now),
		Resized:     resized,
		Root:        os.Geteuid() == 0,
		Now:         time.Now,
		Builder:     cli.Sessions{},
		KeyMode:     terminal.KeyMode,
		StartEngine: cli.StartKeeper,
	}))
}

// collectLater lets the first collection of garbage wait until the heap has 32 MB, unless
// GOGC says otherwise: by then most commands have ended. From then on it is as usual.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return
	}
	was := debug.SetGCPercent(800) // of the 4 MB from which on Go collects
	first := new([16]byte)
	runtime.AddCleanup(first, func(percent int) { debug.SetGCPercent(percent) }, was)
}
