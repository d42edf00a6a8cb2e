//go:build cgo

// Command orlop-exec runs processes in containers for the engine, which starts it
// with a socket: health checks, which end soon and of which only the exit
// code and some output are wanted. It does what "runc exec" does, without a runc, a
// shim and pipes for each: in C where the container is a plain one, else by runc's
// libcontainer. It ends with its socket.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/exec/job"
	_ "github.com/orlop/orlop/runner/shim/native/enter"
)

// heedSignals takes all signals, so that a program begins with none ignored, whatever
// the engine was started by ignores. One that is to end the helper ends what it runs first.
func heedSignals(end func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	go func() {
		for s := range signals {
			if s == unix.SIGTERM || s == unix.SIGINT || s == unix.SIGQUIT {
				end()
			}
		}
	}()
}

func main() {
	// libcontainer hands it to the process that becomes the program, whose Go then looks for
	// no limits of processors. Our own has begun already.
	_ = os.Setenv("GOMAXPROCS", "1")
	logrus.SetOutput(io.Discard) // an error of libcontainer's is in its answer, too
	file := os.NewFile(job.Socket, "engine")
	conn, err := net.FileConn(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "orlop-exec: the engine starts this program, by itself it does nothing:", err)
		os.Exit(2)
	}
	file.Close()
	heedSignals(func() { conn.Close() })
	newServer(conn).serve()
}
