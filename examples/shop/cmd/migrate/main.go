// Command migrate brings the shop's database to its newest shape, and ends.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"shop/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetFlags(0)
	if err := run(ctx); err != nil {
		log.Fatalf("migrate: %v", err)
	}
}

func run(ctx context.Context) error {
	db, err := store.Open(os.Getenv("DATABASE_URL"), os.Getenv("DATABASE_PASSWORD_FILE"))
	if err != nil {
		return err
	}
	defer db.Close()
	ran, err := db.Migrate(ctx)
	if err != nil {
		return err
	}
	if len(ran) == 0 {
		log.Print("the database is up to date")
	}
	for _, name := range ran {
		log.Printf("ran %s", name)
	}
	return nil
}
