// Command worker takes orders from the queue and fills them: it writes them down, packs them and ships them.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"shop/health"
	"shop/order"
	"shop/queue"
	"shop/store"
)

const healthAddress = "127.0.0.1:8081"

func main() {
	check := flag.Bool("check", false, "ask the worker in this container whether it is well")
	flag.Parse()
	log.SetFlags(0)
	if *check {
		if err := health.Ask("http://" + healthAddress + "/"); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatalf("worker: %v", err)
	}
	log.Print("worker: stopped")
}

func run(ctx context.Context) error {
	packing, err := time.ParseDuration(os.Getenv("PACKING_TIME"))
	if err != nil {
		return errors.New("PACKING_TIME must be a duration such as 2s")
	}
	db, err := store.Open(os.Getenv("DATABASE_URL"), os.Getenv("DATABASE_PASSWORD_FILE"))
	if err != nil {
		return err
	}
	defer db.Close()
	orders := queue.Queue{Address: os.Getenv("REDIS_ADDRESS")}
	server := &http.Server{Addr: healthAddress, Handler: health.Handler(db.Ping, orders.Ping)}
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		cancel(server.ListenAndServe())
	}()

	err = work(working, orders, db, packing)
	server.Close()
	<-served
	if ctx.Err() != nil {
		return nil // told to stop: what it was at waits in the queue
	}
	return err
}

// work fills orders until ctx ends. What it was at then goes back to the queue at the next start.
func work(ctx context.Context, orders queue.Queue, db *store.Store, packing time.Duration) error {
	if err := orders.Restore(ctx); err != nil {
		return err
	}
	log.Print("worker: ready")
	for {
		o, err := orders.Take(ctx)
		if err != nil {
			return err
		}
		if err := fill(ctx, db, o, packing); err != nil {
			return err
		}
		if err := orders.Done(ctx, o); err != nil {
			return err
		}
	}
}

func fill(ctx context.Context, db *store.Store, o order.Order, packing time.Duration) error {
	o.Status = order.Packing
	if err := db.Save(ctx, o); err != nil {
		return err
	}
	log.Printf("worker: packing %d x %s for order %s", o.Quantity, o.Item, o.ID)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(packing): // the work that this program stands for
	}
	o.Status = order.Shipped
	if err := db.Save(ctx, o); err != nil {
		return err
	}
	log.Printf("worker: shipped order %s", o.ID)
	return nil
}
