// Command web serves the shop's page and its API.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"shop/health"
	"shop/queue"
	"shop/store"
)

const port = "8080"

func main() {
	check := flag.Bool("check", false, "ask the server in this container whether it is well")
	flag.Parse()
	log.SetFlags(0)
	if *check {
		if err := health.Ask("http://127.0.0.1:" + port + "/healthz"); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatalf("web: %v", err)
	}
	log.Print("web: stopped")
}

func run(ctx context.Context) error {
	db, err := store.Open(os.Getenv("DATABASE_URL"), os.Getenv("DATABASE_PASSWORD_FILE"))
	if err != nil {
		return err
	}
	defer db.Close()
	orders := queue.Queue{Address: os.Getenv("REDIS_ADDRESS")}
	news := newNews()
	watched := make(chan error, 1)
	go func() { watched <- db.Watch(ctx, news.tell) }()

	mux := http.NewServeMux()
	mux.Handle("/", newShop(db, orders, news))
	mux.Handle("GET /healthz", health.Handler(db.Ping, orders.Ping))
	server := &http.Server{
		Addr:              ":" + port,
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // ends the streams of news
	}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	log.Printf("web: listening on port %s", port)
	select {
	case err := <-served:
		return err
	case err := <-watched:
		if ctx.Err() == nil {
			return err
		}
		watched <- err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(grace)
	if e := <-watched; !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	return err
}
