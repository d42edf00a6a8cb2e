package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/orlop/orlop/e2e/lab"
)

// theatre is what the scripts of one run share: an engine with base images, a
// registry that it takes for docker.io, and the reaper.
type theatre struct {
	mu       sync.Mutex // guards what follows
	opened   bool
	err      error
	reaper   *lab.Reaper
	registry *lab.Registry
	engine   *lab.Engine
	port     int
	count    int

	building  sync.Mutex // guards what follows
	failpoint string     // directory of the programs that have failpoints, once they are built
}

// stage is the one theatre: the scripts run in one process for its sake.
var stage theatre

// open sets the stage when the first script asks for it.
func (s *theatre) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		s.opened = true
		s.err = s.build()
	}
	return s.err
}

func (s *theatre) build() (err error) {
	if s.reaper, err = lab.StartReaper(); err != nil {
		return err
	}
	if s.registry, err = lab.NewRegistry(); err != nil {
		return err
	}
	if err := s.fill(); err != nil {
		return err
	}
	if s.engine, err = s.newEngine(programs(), 0); err != nil {
		return err
	}
	for _, name := range archives() {
		if _, err := s.engine.Run(background(), "/", "image", "load", archive(name)); err != nil {
			return err
		}
	}
	return nil
}

// fill puts images into the registry. What they hold does not matter to a
// pull; the names are those of unmodified stack files, and of the faults.
func (s *theatre) fill() error {
	return s.registry.Push(archive("busybox"), "moving/app:1", "moving/app:2", "swapped/app:1", "swapped/other:1",
		"library/redis:7", "library/hello:1", "library/hello:2", "flaky/app:1", "corrupt/app:1", "broken/app:1", "private/app:1", "slow/app:1",
		"cut/app:1", "stuck/app:1", "large/app:1", "limited/app:1", "busy/app:1", "quiet/app:1", "moved/app:1", "halting/app:1")
}

// newEngine is an engine of its own that pulls from the registry, on a disk of so
// many megabytes; 0 is this machine's.
func (s *theatre) newEngine(bin string, megabytes int) (*lab.Engine, error) {
	e, err := lab.NewEngine(bin, s.reaper)
	if err == nil && megabytes > 0 {
		err = e.Confine(megabytes)
	}
	if err != nil {
		return nil, err
	}
	settings := fmt.Sprintf("registries:\n  docker.io:\n    mirrors: [\"http://%s\"]\n", s.registry.Address())
	if runtime := os.Getenv("ORLOP_E2E_RUNTIME"); runtime != "" { // runc: every script by the other way as well
		settings += "default_runtime: " + runtime + "\n"
	}
	return e, os.WriteFile(filepath.Join(e.Root, "engine.yaml"), []byte(settings), 0o600)
}

// ports gives n ports that nobody listens on, each to one script only. They
// are below those that the kernel hands out. Where they begin depends on this
// process, so that two runs beside each other don't choose the same.
func (s *theatre) ports(n int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []int
	for len(out) < n {
		s.port++
		if port := 11000 + (os.Getpid()%64*320+s.port)%20480; isFree(port) {
			out = append(out, port)
		}
	}
	return out
}

// number is different for each caller.
func (s *theatre) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	return s.count
}

// close takes everything down and says what was left that should not have been.
func (s *theatre) close() error {
	if !s.opened {
		return nil
	}
	var errs []error
	if s.engine != nil {
		errs = append(errs, s.engine.Close(background()))
	}
	if s.registry != nil {
		s.registry.Close()
	}
	if s.failpoint != "" {
		errs = append(errs, os.RemoveAll(s.failpoint))
	}
	if s.reaper != nil {
		errs = append(errs, s.reaper.Close())
	}
	return errors.Join(errs...)
}
