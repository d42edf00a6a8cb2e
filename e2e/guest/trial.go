package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orlop/orlop/e2e/guest/machine"
)

const (
	one, two    = "/stacks/one.yaml", "/stacks/two.yaml"
	volume      = "/var/lib/orlop/volumes/stack_data/_data"
	diskSize    = 1536 // MB
	settleLimit = time.Minute
	notice      = "set aside" // of what was damaged, in what a command says
)

// comesBack is what up says of a stack that has all its containers.
var comesBack = regexp.MustCompile(`plan: start \d+\n|is up to date`)

// promises are what commands and the program in the stack have said to be so.
type promises struct {
	loaded  bool   // the base image
	up      string // the stack file that is up; "": none
	pending string // what was begun and not ended
	records atomic.Uint64
	first   chan struct{} // closed when there is a record
}

// promise notes that a record is on the disk.
func (p *promises) promise(n uint64) {
	for {
		before := p.records.Load()
		if n <= before {
			return
		}
		if p.records.CompareAndSwap(before, n) {
			if before == 0 {
				close(p.first)
			}
			return
		}
	}
}

// trial is a machine with its disk, and what it has promised.
type trial struct {
	guest    *machine.Guest
	dir      string
	disk     *machine.Disk
	options  machine.Options
	machine  *machine.Machine
	promised promises
}

// newTrial begins with an empty disk, or with a copy of one.
func newTrial(ctx context.Context, g *machine.Guest, dir, from string) (*trial, error) {
	t := &trial{guest: g, dir: dir}
	t.promised.first = make(chan struct{})
	path := t.image()
	_ = os.Remove(path) // of the trial before
	var err error
	if from == "" {
		err = machine.NewDisk(ctx, path, diskSize)
	} else {
		err = copySparse(from, path)
	}
	if err != nil {
		return nil, err
	}
	if t.disk, err = machine.OpenDisk(path); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *trial) image() string { return filepath.Join(t.dir, "data.img") }

// copySparse copies a file and leaves out what is zero.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	empty, chunk := make([]byte, 1<<16), make([]byte, 1<<16)
	var size int64
	for {
		n, err := io.ReadFull(in, chunk)
		if n > 0 && !bytes.Equal(chunk[:n], empty[:n]) {
			if _, err := out.WriteAt(chunk[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

// boot starts the machine, and the engine as a unit of the system does.
func (t *trial) boot(ctx context.Context) (string, error) {
	var err error
	slow := 4
	if t.machine, err = t.guest.Boot(ctx, t.dir, t.disk, t.options); err != nil {
		return "", err
	}
	// An engine that does not answer within half a minute hangs, says the
	// command; under emulation on a busy host it may be no more than slow.
	var r machine.Result
	for again := true; again && err == nil; {
		r, err = t.machine.Try(ctx, "orlop", "engine", "start")
		slow--
		again = slow > 0 && strings.Contains(r.Errors, "does not answer")
	}
	if err == nil && r.Code != 0 {
		log, _ := t.machine.Try(ctx, "sh", "-c", "uptime; free; tail -n 40 /var/lib/orlop/log/*")
		err = fmt.Errorf("the engine does not start, exit code %d\n%s%s\n%s", r.Code, r.Output, r.Errors, log.Output)
	}
	return r.Output + r.Errors, err
}

// off ends the machine in order.
func (t *trial) off(ctx context.Context) error {
	if _, err := t.machine.Run(ctx, "sync"); err != nil {
		return err
	}
	_, _ = t.machine.Try(ctx, "reboot", "-f") // it is gone before it answers
	return t.machine.Wait(ctx)
}

func (t *trial) close() {
	if t.machine != nil {
		t.machine.Kill()
	}
	t.disk.Close()
	os.Remove(t.image())
}

// work is one command, and what is promised once it has succeeded.
type work struct {
	name string
	argv []string
	kept func(p *promises)
}

func load() work {
	return work{"image load", []string{"orlop", "image", "load", "/images/busybox.tar"}, func(p *promises) { p.loaded = true }}
}

func up(file string) work {
	return work{"up " + filepath.Base(file), []string{"orlop", "-f", file, "up", "--build", "-d"}, func(p *promises) { p.up = file }}
}

func down() work {
	return work{"down", []string{"orlop", "-f", two, "down"}, func(p *promises) { p.up = "" }}
}

// do carries out work until the machine is gone.
func (t *trial) do(ctx context.Context, all ...work) error {
	for _, w := range all {
		t.promised.pending = w.name
		if _, err := t.machine.Run(ctx, w.argv...); err != nil {
			return err
		}
		w.kept(&t.promised)
		t.promised.pending = ""
		if t.promised.up != "" {
			if err := t.follow(); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow notes the records of which the service says that they are on the disk.
func (t *trial) follow() error {
	var line string
	_, err := t.machine.Start(func(output []byte) {
		line += string(output)
		for {
			first, rest, whole := strings.Cut(line, "\n")
			if !whole {
				return
			}
			line = rest
			if n, err := strconv.ParseUint(strings.TrimSpace(first), 10, 64); err == nil {
				t.promised.promise(n)
			}
		}
	}, "orlop", "-f", two, "logs", "-f", "--no-log-prefix", "writer")
	return err
}

// waitForRecords waits until the service has said of a record that it is on the
// disk.
func (t *trial) waitForRecords(ctx context.Context) error {
	select {
	case <-t.promised.first:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the service writes no record: %w", ctx.Err())
	}
}

// losePower takes the machine its power at some time of its work; of the work
// that is over before it, at its end.
func (t *trial) losePower(ctx context.Context, rng *rand.Rand, at time.Duration, all ...work) (string, error) {
	began := time.Now()
	power := time.AfterFunc(at, t.machine.Kill)
	err := t.do(ctx, all...)
	power.Stop()
	t.machine.Kill()
	took := time.Since(began)
	if err != nil && !errors.Is(err, machine.ErrGone) {
		return "", err
	}
	unflushed, lost, err := t.disk.LosePower(rng)
	where := "in " + t.promised.pending
	if t.promised.pending == "" {
		where = "right after the last command"
	}
	return fmt.Sprintf("after %.1f s, %s, %d of %d unflushed blocks lost", took.Seconds(), where, lost, unflushed), err
}

// recover boots the machine again and holds it to what was promised.
func (t *trial) recover(ctx context.Context, b *baseline) error {
	told, err := t.boot(ctx)
	if err != nil {
		return err
	}
	if t.promised.loaded {
		if out, err := t.machine.Run(ctx, "orlop", "image", "ls"); err != nil || !strings.Contains(out, "busybox") {
			return errors.Join(fmt.Errorf("the image that was loaded is gone, there are\n%s", out), err)
		}
	} else if _, err := t.machine.Run(ctx, load().argv...); err != nil {
		return err
	}
	if f := t.promised.up; f != "" && t.promised.pending == "" {
		// What its policy has not started yet is started; nothing is made anew.
		out, err := t.machine.Run(ctx, "sh", "-c", "exec orlop -f "+f+" up -d 2>&1")
		if err == nil && !comesBack.MatchString(out) {
			err = fmt.Errorf("up does more than start:\n%s", out)
		}
		if err != nil {
			return fmt.Errorf("the stack that was up is not: %w", err)
		}
	}
	if err := t.converges(ctx, told); err != nil {
		return err
	}
	if err := t.count(ctx); err != nil {
		return err
	}
	if err := t.settled(ctx, b.up); err != nil {
		return fmt.Errorf("after up: %w", err)
	}
	if _, err := t.machine.Run(ctx, "orlop", "-f", two, "down", "-v"); err != nil {
		return err
	}
	if err := t.settled(ctx, b.down); err != nil {
		return fmt.Errorf("after down: %w", err)
	}
	return nil
}

// same runs a command that must have nothing to do.
func (t *trial) same(ctx context.Context, args ...string) error {
	r, err := t.machine.Try(ctx, append([]string{"orlop"}, args...)...)
	if err == nil && (r.Code != 0 || !strings.Contains(r.Output+r.Errors, "is up to date")) {
		err = fmt.Errorf("orlop %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Output, r.Errors)
	}
	return err
}

// converges brings the stack up as it was to be in the end.
func (t *trial) converges(ctx context.Context, told string) error {
	r, err := t.machine.Try(ctx, up(two).argv...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("up does not converge: exit code %d\n%s%s", r.Code, r.Output, r.Errors)
	}
	if err != nil {
		return err
	}
	if text := r.Output + r.Errors; strings.Contains(told, notice) && strings.Contains(text, notice) {
		return fmt.Errorf("what is lost is told twice:\n%s\n%s", told, text)
	}
	if err := t.same(ctx, "-f", two, "up", "--build", "-d"); err != nil {
		return fmt.Errorf("up after up: %w", err)
	}
	page, err := t.machine.Run(ctx, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html")
	if err == nil && page != "two\n" {
		err = fmt.Errorf("the page is %q", page)
	}
	return err
}

// count compares the records of the volume with those that were promised.
func (t *trial) count(ctx context.Context) error {
	out, err := t.machine.Run(ctx, "guest", "check", volume)
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return err
	}
	if promised := t.promised.records.Load(); n < promised {
		return fmt.Errorf("the volume has %d records of %d that were synced", n, promised)
	}
	return nil
}

// settled waits until the machine has of the engine what it had undisturbed: nothing
// tells from outside when the engine is done with removing. What only builds make may be
// missing, as the engine may have built nothing since it was started.
func (t *trial) settled(ctx context.Context, want states) error {
	for end := time.Now().Add(settleLimit); ; {
		now, err := t.things(ctx)
		if err != nil {
			return err
		}
		lines := want.differ(now)
		if len(lines) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return errors.New(strings.Join(lines, "\n  "))
		}
	}
}
