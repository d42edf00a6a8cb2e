package runner

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/orlop/orlop/keeper"
)

func TestPortsAreTriedInTheirOrder(t *testing.T) {
	for _, c := range []struct {
		port       string
		kept       int
		isInstance bool
		want       []int
	}{
		{"8080", 0, false, []int{8080}},
		{"", 0, false, []int{0}},
		{"", 4711, false, []int{4711}},
		{"8000-8002", 0, false, []int{8000, 8001, 8002}},
		{"8080", 0, true, []int{8080, 0}},
		{"8080", 4711, true, []int{4711, 8080, 0}},
		{"8080", 8080, true, []int{8080, 0}},
		{"8000-8001", 8001, true, []int{8001, 8000, 0}},
		{"", 4711, true, []int{4711, 0}},
	} {
		b := binding{port: c.port}
		if got := slices.Collect(b.candidates(c.kept, c.isInstance)); !slices.Equal(got, c.want) {
			t.Errorf("port %q, kept %d, instance %t: tried are %v, want %v", c.port, c.kept, c.isInstance, got, c.want)
		}
	}
}

func TestOnlyAPortThatAnotherHasIsTaken(t *testing.T) {
	for err, want := range map[error]bool{
		&keeper.PortError{Errno: int(syscall.EADDRINUSE), Holder: "x"}:          true,
		fmt.Errorf("so: %w", &keeper.PortError{Errno: int(syscall.EADDRINUSE)}): true,
		&keeper.PortError{Errno: int(syscall.EADDRNOTAVAIL)}:                    false,
		errors.New("the keeper is gone"):                                        false,
	} {
		if isTaken(err) != want {
			t.Errorf("isTaken(%v) is %t", err, !want)
		}
	}
}
