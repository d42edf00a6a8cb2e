// Command soak does random things to a stack of its own, injects random faults,
// and looks after each whether what must hold still does. What it does follows
// from its seed, so a failure can be looked for again with the same one.
//
//	go run ./e2e/soak -seed 7 -minutes 5
//	go run ./e2e/soak -cycles 1000     up and down, and what has grown after it
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

func main() {
	lab.BecomeReaper()
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "what is done follows from it")
	minutes := flag.Float64("minutes", 5, "how long")
	cycles := flag.Int("cycles", 0, "only bring a stack up and down this often")
	verbose := flag.Bool("v", false, "tell of each operation")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *seed, time.Duration(*minutes*float64(time.Minute)), *cycles, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, seed uint64, span time.Duration, cycles int, verbose bool) (err error) {
	repository, err := os.Getwd()
	if err != nil {
		return err
	}
	bin := filepath.Join(repository, "bin")
	if err := lab.FindPrograms(bin); err != nil {
		return err
	}
	reaper, err := lab.StartReaper()
	if err != nil {
		return err
	}
	defer reaper.Close()
	engine, err := lab.NewEngine(bin, reaper)
	if err != nil {
		return err
	}
	if _, err := engine.Run(ctx, "/", "image", "load", filepath.Join(repository, ".cache", "images", "busybox.tar")); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "orlop-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := newSoak(engine, dir, seed, verbose)
	fmt.Printf("soak: seed %d\n", seed)
	if cycles > 0 {
		err = s.cycle(ctx, cycles)
	} else {
		err = s.soak(ctx, span)
	}
	fmt.Println("soak: " + s.report())
	if err != nil {
		return fmt.Errorf("seed %d, after operation %d (%s): %w\n%s", seed, s.count, s.last, err, engine.Logs(20))
	}
	return engine.Close(context.WithoutCancel(ctx))
}
