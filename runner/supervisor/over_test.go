package supervisor

import (
	"testing"

	"github.com/orlop/orlop/planner"
)

func TestWhatIsRemovedWithItsEnd(t *testing.T) {
	for _, test := range []struct {
		state planner.State
		auto  bool
		want  bool
	}{
		{planner.Created, true, true}, {planner.Exited, true, true}, {planner.Running, true, false},
		{planner.Stopping, true, false}, {planner.Exited, false, false}, {planner.Created, false, false},
	} {
		rec := Record{Metadata: Metadata{AutoRemove: test.auto}, Status: Status{State: test.state}}
		if got := rec.IsOver(); got != test.want {
			t.Errorf("%s with --rm %v: %v, want %v", test.state, test.auto, got, test.want)
		}
	}
}
