package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// seedLimit is for one seed, on a busy host.
const seedLimit = 20 * time.Minute

// losses takes power away from machines that begin where an undisturbed one was.
type losses struct {
	guest    *machine.Guest
	dir      string
	baseline baseline
	scenes   []scene
}

// scene is a part of the work, and the disk that it begins with.
type scene struct {
	disk  string // "": an empty one
	from  uint64 // records that it begins with, beside the image
	work  []work
	takes time.Duration // undisturbed, from the start of the engine on
}

func (l *losses) close() { os.RemoveAll(l.dir) }

// prepare makes the guest and runs all of the work once, undisturbed.
func prepare(ctx context.Context, repository string) (*losses, error) {
	began := time.Now()
	stacks, err := files()
	if err != nil {
		return nil, err
	}
	g, err := machine.Prepare(ctx, repository, stacks)
	if err != nil {
		return nil, err
	}
	made := time.Since(began)
	dir, err := os.MkdirTemp("/var/tmp", "orlop-guest-")
	if err != nil {
		return nil, err
	}
	l := &losses{guest: g, dir: dir}
	if err := l.undisturbed(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("undisturbed: %w", err)
	}
	fmt.Printf("powerloss: a guest was made in %.1f s; undisturbed load and up take %.0f s, change and down %.0f s\n",
		made.Seconds(), l.scenes[0].takes.Seconds(), l.scenes[1].takes.Seconds())
	return l, nil
}

// undisturbed does all of the work, with a restart of the machine in its middle,
// and keeps the disk of that moment.
func (l *losses) undisturbed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, seedLimit)
	defer cancel()
	t, err := newTrial(ctx, l.guest, l.dir, "")
	if err != nil {
		return err
	}
	defer t.close()
	if _, err := t.boot(ctx); err != nil {
		return err
	}
	first := scene{work: []work{load(), up(one)}}
	began := time.Now()
	if err := t.do(ctx, first.work...); err != nil {
		return err
	}
	first.takes = time.Since(began)
	if err := t.waitForRecords(ctx); err != nil {
		return err
	}
	if err := t.off(ctx); err != nil {
		return err
	}
	middle := filepath.Join(l.dir, "middle.img")
	if err := copySparse(t.image(), middle); err != nil {
		return err
	}
	second := scene{disk: middle, work: []work{up(two), down()}}
	second.from = t.promised.records.Load()
	if _, err := t.boot(ctx); err != nil {
		return err
	}
	began = time.Now()
	if err := t.do(ctx, up(two)); err != nil {
		return err
	}
	second.takes = time.Since(began)
	if err := l.baseline.up.add(t.things(ctx)); err != nil {
		return err
	}
	began = time.Now()
	if err := t.do(ctx, down()); err != nil {
		return err
	}
	second.takes += time.Since(began)
	if _, err := t.machine.Run(ctx, "orlop", "-f", two, "down", "-v"); err != nil {
		return err
	}
	l.scenes = []scene{first, second}
	if err := l.baseline.down.add(t.things(ctx)); err != nil {
		return err
	}
	return l.unbuilt(ctx, t)
}

// unbuilt looks once more after a restart of the machine: an engine that has built
// nothing has less.
func (l *losses) unbuilt(ctx context.Context, t *trial) error {
	if err := t.off(ctx); err != nil {
		return err
	}
	if _, err := t.boot(ctx); err != nil {
		return err
	}
	if err := t.do(ctx, up(two)); err != nil {
		return err
	}
	if err := l.baseline.up.add(t.things(ctx)); err != nil {
		return err
	}
	if _, err := t.machine.Run(ctx, "orlop", "-f", two, "down", "-v"); err != nil {
		return err
	}
	return l.baseline.down.add(t.things(ctx))
}

// lose is one loss of power, and what comes after it. The scene and the share of its time
// follow from the seed; the moment is that share of the time that was measured before.
func (l *losses) lose(ctx context.Context, seed uint64) error {
	ctx, cancel := context.WithTimeout(ctx, seedLimit)
	defer cancel()
	rng := rand.New(rand.NewPCG(seed, 0))
	s := &l.scenes[rng.IntN(len(l.scenes))]
	at := time.Duration(rng.Float64() * float64(s.takes))
	todo := s.work
	if rng.IntN(4) == 0 { // right after a command has succeeded
		at, todo = seedLimit, s.work[:1+rng.IntN(len(s.work))]
	}
	began := time.Now()
	t, err := newTrial(ctx, l.guest, l.dir, s.disk)
	if err != nil {
		return err
	}
	defer t.close()
	t.promised.loaded = s.disk != ""
	t.promised.promise(s.from)
	if _, err := t.boot(ctx); err != nil {
		return err
	}
	if s.disk != "" {
		if err := t.follow(); err != nil {
			return err
		}
	}
	where, err := t.losePower(ctx, rng, at, todo...)
	if err != nil {
		return err
	}
	lost := time.Since(began)
	err = t.recover(ctx, &l.baseline)
	outcome := "recovered"
	if err != nil {
		outcome = "NOT RECOVERED"
		if t.machine != nil {
			log, _ := t.machine.Try(context.WithoutCancel(ctx), "sh", "-c", "tail -n 40 /var/lib/orlop/log/*")
			err = fmt.Errorf("%w\n%s", err, log.Output)
		}
	}
	fmt.Printf("seed %d: power lost %s, %d records; %s in %.0f s, %.0f s in all\n",
		seed, where, t.promised.records.Load(), outcome, (time.Since(began) - lost).Seconds(), time.Since(began).Seconds())
	return err
}
