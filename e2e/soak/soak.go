package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// commandLimit bounds each command: one that takes longer hangs.
const commandLimit = 90 * time.Second

type soak struct {
	engine  *lab.Engine
	dir     string
	rng     *rand.Rand
	stack   *stack
	verbose bool

	count  int // of operations
	faults int
	last   string // what was done last
	began  time.Time
	data   string // what the volume must hold; "" before it is there
	first  sizes  // after the first operations
	now    sizes
}

func newSoak(e *lab.Engine, dir string, seed uint64, verbose bool) *soak {
	rng := rand.New(rand.NewPCG(seed, 0))
	return &soak{engine: e, dir: dir, rng: rng, stack: newStack(rng, freePorts(5)), verbose: verbose, began: time.Now()}
}

// freePorts gives the first of n ports in a row that nobody listens on.
func freePorts(n int) int {
	for port := 21000; ; port += n {
		free := true
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err == nil {
				l.Close()
			}
			free = free && err == nil
		}
		if free {
			return port
		}
	}
}

// orlop runs a command of the stack; one that hangs is an error by itself.
func (s *soak) orlop(ctx context.Context, args ...string) (string, error) {
	bounded, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	out, err := s.engine.Run(bounded, s.dir, append([]string{"-p", "soak", "--progress", "plain"}, args...)...)
	if bounded.Err() != nil && ctx.Err() == nil {
		return out, fmt.Errorf("orlop %s hangs: no end within %s", strings.Join(args, " "), commandLimit)
	}
	return out, err
}

// soak does operations until the time is over. Every tenth is followed by the
// look at all that is left after a down.
func (s *soak) soak(ctx context.Context, span time.Duration) error {
	if err := s.stack.write(s.dir); err != nil {
		return err
	}
	if _, err := s.orlop(ctx, "engine", "start"); err != nil {
		return err
	}
	baseline := lab.Things(s.engine)
	for end := time.Now().Add(span); time.Now().Before(end) && ctx.Err() == nil; {
		o := s.choose()
		if err := s.perform(ctx, o); err != nil {
			return err
		}
		if s.count%10 != 0 {
			continue
		}
		if err := s.leavesNothing(ctx, baseline); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (s *soak) perform(ctx context.Context, o operation) error {
	s.count++
	if o.isFault {
		s.faults++
	}
	s.last = o.name
	began := time.Now()
	text, err := o.do(ctx, s)
	if text != "" {
		s.last += ": " + text
	}
	if err == nil {
		err = s.holds(ctx)
	}
	if s.verbose {
		fmt.Printf("%4d %-60s %.2f s\n", s.count, s.last, time.Since(began).Seconds())
	}
	return err
}

// holds looks at what must hold after each operation: up converges, after it
// there is nothing to do, the published ports answer, and the volume's bytes are
// the same.
func (s *soak) holds(ctx context.Context) error {
	if _, err := s.orlop(ctx, "up", "-d", "--remove-orphans"); err != nil {
		return err
	}
	if out, err := s.orlop(ctx, "plan", "--detailed-exitcode"); err != nil {
		return fmt.Errorf("after up there is something to do: %w\n%s", err, out)
	}
	for _, svc := range s.stack.services {
		if svc.port == 0 {
			continue
		}
		if err := answers(ctx, svc.port); err != nil {
			return fmt.Errorf("%s does not answer: %w", svc.name, err)
		}
	}
	return s.holdsData()
}

// answers waits until something answers HTTP at a port: a container that has
// just been started takes a moment.
func answers(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	url := fmt.Sprintf("http://127.0.0.1:%d/", port)
	out, err := exec.CommandContext(ctx, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--retry", "60", "--retry-all-errors",
		"--retry-delay", "0", "--retry-max-time", "12", "--max-time", "5", url).CombinedOutput()
	if err == nil && strings.HasPrefix(string(out), "000") {
		err = errors.New("no answer")
	}
	if err != nil {
		return fmt.Errorf("port %d: %w (%s)", port, err, out)
	}
	return nil
}

// holdsData compares the volume with what was written into it.
func (s *soak) holdsData() error {
	file := filepath.Join(s.engine.Root, "volumes", "soak_data", "_data", "file")
	text, err := os.ReadFile(file)
	if s.data == "" {
		if err == nil {
			return fmt.Errorf("%s has %q, and nobody wrote it", file, text)
		}
		return nil
	}
	if err != nil || string(text) != s.data {
		return fmt.Errorf("the volume has %.40q instead of %.40q: %v", text, s.data, err)
	}
	return nil
}

// leavesNothing takes the stack down, compares what the machine has with what it
// had before, and looks at what has grown.
func (s *soak) leavesNothing(ctx context.Context, baseline []string) error {
	if _, err := s.orlop(ctx, "down", "--remove-orphans", "-t", "1"); err != nil {
		return err
	}
	if err := s.holdsData(); err != nil {
		return fmt.Errorf("after down: %w", err)
	}
	if err := same(s.engine, baseline); err != nil {
		return err
	}
	var err error
	if s.now, err = s.measure(ctx); err != nil {
		return err
	}
	if s.first.resident == 0 {
		s.first = s.now
	}
	return s.now.grownSince(s.first)
}

// same waits until the machine has what it had, volumes and programs aside.
func same(e *lab.Engine, baseline []string) error {
	var more []string
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		more = nil
		for _, thing := range lab.Things(e) {
			if !slices.Contains(baseline, thing) && !strings.Contains(thing, "/volumes/") {
				more = append(more, thing)
			}
		}
		if len(more) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after down is left:\n  %s", strings.Join(more, "\n  "))
		}
	}
}

// word is some text that no other run writes.
func (s *soak) word() string {
	var b [8]byte
	for i := range b {
		b[i] = byte(s.rng.IntN(256))
	}
	sum := sha256.Sum256(b[:])
	return hex.EncodeToString(sum[:])
}

// cycle brings the stack up and down, and looks at what has grown.
func (s *soak) cycle(ctx context.Context, cycles int) error {
	for _, svc := range s.stack.services {
		svc.build = false
	}
	if err := s.stack.write(s.dir); err != nil {
		return err
	}
	for s.count = 0; s.count < cycles; s.count++ {
		s.last = "up and down"
		if _, err := s.orlop(ctx, "up", "-d"); err != nil {
			return err
		}
		if _, err := s.orlop(ctx, "down", "-v", "-t", "0"); err != nil {
			return err
		}
		if s.count != cycles/10 && s.count != cycles-1 {
			continue
		}
		var err error
		if s.now, err = s.measure(ctx); err != nil {
			return err
		}
		if s.first.resident == 0 {
			s.first = s.now
		}
	}
	return s.now.grownSince(s.first)
}
