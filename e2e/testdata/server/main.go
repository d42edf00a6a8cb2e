// Command server answers on port 8080 with its process's start time, slowly
// enough that a request is often under way. With "deaf" it has no handler for
// SIGTERM; else it ends in good order.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	began := time.Now()
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
