package cmd

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

func TestWarningsOfStepsAreToldOnce(t *testing.T) {
	var o outcome
	d := &plainDisplay{board: newBoard(began)}
	for _, text := range []string{"a is cut", "b is cut", "a is cut"} { // two replicas of a
		b, err := json.Marshal(planner.Event{Step: "create a/1", Kind: planner.Warned, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if err := o.take(&api.Progress{Of: &api.Progress_Event{Event: b}}, d, &masker{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"a is cut", "b is cut"}; !slices.Equal(o.warnings, want) {
		t.Errorf("%q, want %q", o.warnings, want)
	}
}
