package cli

import (
	"context"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// said is a stream that ends after its messages.
type said []*api.Progress

func (s *said) Recv() (*api.Progress, error) {
	if len(*s) == 0 {
		return nil, io.EOF
	}
	m := (*s)[0]
	*s = (*s)[1:]
	return m, nil
}

func TestWarningsOfStepsAreToldOnce(t *testing.T) {
	stream := said{{Of: &api.Progress_Plan{Plan: api.NewPlan(&planner.Plan{Project: "p"})}}}
	for _, text := range []string{"a is cut", "b is cut", "a is cut"} { // two replicas of a
		event := planner.Event{Step: "create a/1", Kind: planner.Warned, Text: text}
		stream = append(stream, &api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(event)}})
	}
	stream = append(stream, &api.Progress{Of: &api.Progress_Verdict{Verdict: &api.Verdict{Ok: true}}})
	inv := New(NewSettings(World{Now: func() time.Time { return time.Unix(1, 0) }}), display.NewOutput(io.Discard, io.Discard))
	o, err := inv.Show(context.Background(), &stream, Progress{})
	if want := []string{"a is cut", "b is cut"}; err != nil || !slices.Equal(o.Warnings, want) {
		t.Errorf("%q, %v, want %q", o.Warnings, err, want)
	}
}
