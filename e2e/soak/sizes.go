package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sizes are what must not grow.
type sizes struct {
	resident    int64 // bytes, of the engine
	keeper      int64 // bytes, resident
	goroutines  int
	descriptors int // of the engine
	lent        int // descriptors of the keeper
	store       int64
}

func (s *soak) measure(ctx context.Context) (sizes, error) {
	out, err := s.orlop(ctx, "engine", "status", "--format", "json")
	if err != nil {
		return sizes{}, err
	}
	var status struct {
		PID        int
		Memory     int64
		Goroutines int
		Keeper     struct {
			PID    int
			Memory int64
		}
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return sizes{}, err
	}
	st, err := os.Stat(filepath.Join(s.engine.Root, "engine.db"))
	if err != nil {
		return sizes{}, err
	}
	return sizes{
		resident: status.Memory, keeper: status.Keeper.Memory, goroutines: status.Goroutines,
		descriptors: descriptors(status.PID), lent: descriptors(status.Keeper.PID), store: st.Size(),
	}, nil
}

func descriptors(pid int) int {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries)
}

// grownSince compares with what there was at first. An engine may have been
// started anew between the two, so what it holds idle differs a little; memory that
// was needed once is given back late.
func (n sizes) grownSince(first sizes) error {
	const mega = 1 << 20
	switch {
	case n.descriptors > first.descriptors+16:
		return fmt.Errorf("the engine has %d descriptors, it had %d", n.descriptors, first.descriptors)
	case n.lent > first.lent+4:
		return fmt.Errorf("the keeper has %d descriptors, it had %d", n.lent, first.lent)
	case n.goroutines > first.goroutines+24:
		return fmt.Errorf("the engine has %d goroutines, it had %d", n.goroutines, first.goroutines)
	case n.resident > 2*first.resident+32*mega:
		return fmt.Errorf("the engine has %d MB resident, it had %d MB", n.resident/mega, first.resident/mega)
	case n.keeper > 2*first.keeper+8*mega:
		return fmt.Errorf("the keeper has %d MB resident, it had %d MB", n.keeper/mega, first.keeper/mega)
	case n.store > 4*first.store+mega:
		return fmt.Errorf("the engine's store has %d kB, it had %d kB", n.store>>10, first.store>>10)
	}
	return nil
}

func (n sizes) String() string {
	return fmt.Sprintf("engine %d MB, %d descriptors, %d goroutines; keeper %d MB, %d descriptors; store %d kB",
		n.resident>>20, n.descriptors, n.goroutines, n.keeper>>20, n.lent, n.store>>10)
}

// report is what was done and what has grown.
func (s *soak) report() string {
	return fmt.Sprintf("%d operations, %d of them faults, in %s\n  at first: %s\n  at last:  %s",
		s.count, s.faults, time.Since(s.began).Round(time.Second), s.first, s.now)
}
