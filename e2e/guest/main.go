// Command guest runs Orlop in a machine of its own and takes that its power at
// random moments: of the load of an image, of builds, of a change of the
// stack, of its removal. Then it boots the machine again, and looks whether all
// that was said to be so is so. What it does follows from its seeds, and when from how
// long that takes undisturbed on this host: a seed that failed may have to be tried again some times.
//
//	go run ./e2e/guest -seeds 50
//	go run ./e2e/guest -first 17 -seeds 1     that one again
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	seeds := flag.Uint64("seeds", 3, "how many losses of power")
	first := flag.Uint64("first", 1, "the first seed")
	minutes := flag.Float64("minutes", 0, "begin no seed after this time; 0: no limit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *first, *seeds, time.Duration(*minutes*float64(time.Minute)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "powerloss:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, first, seeds uint64, limit time.Duration) error {
	repository, err := os.Getwd()
	if err != nil {
		return err
	}
	l, err := prepare(ctx, repository)
	if err != nil {
		return err
	}
	defer l.close()
	began := time.Now()
	done := 0
	var failed []uint64
	for seed := first; seed < first+seeds && ctx.Err() == nil; seed++ {
		if limit > 0 && time.Since(began) > limit {
			break
		}
		if err := l.lose(ctx, seed); err != nil {
			fmt.Printf("seed %d FAILED: %v\n", seed, err)
			failed = append(failed, seed)
		}
		done++
	}
	fmt.Printf("powerloss: %d of %d seeds in %.0f s, failed: %d %v\n", done, seeds, time.Since(began).Seconds(), len(failed), failed)
	if len(failed) > 0 {
		return fmt.Errorf("what was promised does not hold: seeds %v", failed)
	}
	return ctx.Err()
}
