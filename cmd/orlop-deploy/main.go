// Command orlop-deploy is the command orlop with the verb deploy, which brings a stack to a Kubernetes cluster. It is a program
// of its own because Kubernetes' libraries are large: orlop becomes it where that verb is asked for.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/deploy"
	"github.com/orlop/orlop/cmd/terminal"
)

// version is set when a release is linked.
var version = "dev"

func main() {
	log.SetOutput(io.Discard) // the build session's server logs connections that end
	deploy.Silence()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH, syscall.SIGCONT)
	os.Exit(cmd.RunWith(context.Background(), os.Args[1:], cli.World{
		Version: version, Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Signals: cmd.WithoutRepeats(signals, time.Now), Resized: resized, Root: os.Geteuid() == 0, Now: time.Now,
		Builder: cli.Sessions{}, KeyMode: terminal.KeyMode, StartEngine: cli.StartKeeper,
	}, deploy.Commands))
}
