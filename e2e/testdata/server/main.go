// Command server answers on port 8080 with its process's start time, slowly
// enough that a request is often under way. With "deaf" it has no handler for
// SIGTERM; else it ends in good order. With "datagrams" it answers those on port 53 in the
// same way, and nothing else.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	began := time.Now()
	if len(os.Args) == 2 && os.Args[1] == "datagrams" {
		fmt.Fprintln(os.Stderr, answerDatagrams(began))
		os.Exit(1)
	}
	srv := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		fmt.Fprintln(w, began.UnixNano())
	})}
	over := make(chan struct{})
	if len(os.Args) < 2 {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() {
			<-term
			_ = srv.Shutdown(context.Background())
			close(over)
		}()
	}
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-over
}

func answerDatagrams(began time.Time) error {
	c, err := net.ListenPacket("udp", ":53")
	if err != nil {
		return err
	}
	for buffer := make([]byte, 100); ; {
		_, from, err := c.ReadFrom(buffer)
		if err != nil {
			return err
		}
		_, _ = c.WriteTo(fmt.Append(nil, began.UnixNano()), from) // it may be lost, as any datagram may
	}
}
