package history

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

// began is when all that these tests tell of begins.
var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }

// stage is a source whose changes the test tells.
type stage struct {
	now  []planner.Container
	play func(changed func(c planner.Container, removed bool), synced func())
}

func (s *stage) Containers(project string) (out []planner.Container) {
	for _, c := range s.now {
		if c.Project == project {
			out = append(out, c)
		}
	}
	return out
}

func (s *stage) Watch(_ context.Context, _ string, changed func(c planner.Container, removed bool), synced func()) {
	s.play(changed, synced)
}

func running(id, project string, second int) planner.Container {
	return planner.Container{ID: id, Name: id, Service: "web", Project: project, State: planner.Running, CreatedAt: at(second), StartedAt: at(second)}
}

func actions(b *Book, project string, since time.Time) (out []string, cut bool) {
	lines, cut := b.Past(project, since)
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%s %s@%d", l.Action, l.ID, int(l.Time.Sub(began).Seconds())))
	}
	return out, cut
}

func TestWhatHappenedIsRemembered(t *testing.T) {
	before, other, made := running("old", "shop", 1), running("b", "blog", 2), running("a", "shop", 3)
	ended := made
	ended.State, ended.ExitedAt, ended.Stopped = planner.Exited, at(5), true
	stopping := ended // what is heard late
	stopping.State = planner.Stopping
	s := &stage{play: func(changed func(planner.Container, bool), synced func()) {
		changed(before, false)
		synced()
		changed(other, false)
		changed(made, false)
	}}
	b := New(s)
	b.began = time.Time{} // it has been there all along
	b.Record(t.Context())
	b.Job(Job{Project: "shop", Name: "backup", Action: "fire", At: at(4), Fire: at(4)})
	s.now = []planner.Container{before, ended} // it asks for what has not come to its ears yet
	want := []string{"create a@3", "start a@3", "fire backup@4", "die a@5", "stop a@5"}
	if got, cut := actions(b, "shop", time.Time{}); !slices.Equal(got, want) || cut {
		t.Errorf("remembered are %q, cut %t", got, cut)
	}
	s.play = func(changed func(planner.Container, bool), synced func()) {
		changed(stopping, false)
		changed(ended, false)
	}
	b.Record(t.Context())
	if got, _ := actions(b, "shop", at(4)); !slices.Equal(got, want[2:]) {
		t.Errorf("what was heard before is remembered again: %q", got)
	}
	if got, _ := actions(b, "blog", time.Time{}); !slices.Equal(got, []string{"create b@2", "start b@2"}) {
		t.Errorf("of another project are %q", got)
	}
}

func TestTheOldestAreForgotten(t *testing.T) {
	b := New(&stage{})
	b.began = time.Time{} // it has been there all along
	for i := range most + 5 {
		b.Job(Job{Project: "shop", Name: "backup", Action: "fire", At: at(i), Fire: at(i)})
	}
	got, cut := actions(b, "shop", time.Time{})
	if len(got) != most || got[0] != "fire backup@5" || !cut {
		t.Errorf("%d are remembered, the first is %s, cut %t", len(got), got[0], cut)
	}
	if _, cut := actions(b, "shop", at(7)); cut {
		t.Error("nothing is missing since then")
	}
}

// TestNothingIsRememberedOfBeforeTheEngine: who asks for it is told so.
func TestNothingIsRememberedOfBeforeTheEngine(t *testing.T) {
	b := New(&stage{})
	for since, want := range map[time.Time]bool{b.began.Add(-time.Hour): true, b.began.Add(time.Second): false, time.Unix(0, 0): false} {
		if _, cut := b.Past("shop", since); cut != want {
			t.Errorf("since %s: %t", since, cut)
		}
	}
}
