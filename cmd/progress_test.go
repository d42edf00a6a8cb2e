package cmd

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

func TestWarningsOfStepsAreToldOnce(t *testing.T) {
	var o outcome
	d := &plainDisplay{board: newBoard(began)}
	for _, text := range []string{"a is cut", "b is cut", "a is cut"} { // two replicas of a
		e := api.NewEvent(planner.Event{Step: "create a/1", Kind: planner.Warned, Text: text})
		o.take(&api.Progress{Of: &api.Progress_Event{Event: e}}, d, nil)
	}
	if want := []string{"a is cut", "b is cut"}; !slices.Equal(o.warnings, want) {
		t.Errorf("%q, want %q", o.warnings, want)
	}
}
