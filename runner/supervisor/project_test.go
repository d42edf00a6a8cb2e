package supervisor

import (
	"reflect"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestProjectsAreSummedUp(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	of := func(project string, state planner.State, age time.Duration) Record {
		return Record{Metadata: Metadata{Project: project, WorkingDir: "/w", Files: []string{"stack.yaml"}, CreatedAt: now.Add(-age)}, Status: Status{State: state}}
	}
	got := Projects([]Record{
		of("shop", planner.Running, time.Minute), of("blog", planner.Exited, time.Second), of("shop", planner.Restarting, time.Hour),
		of("shop", planner.Exited, time.Second), of("shop", planner.Created, time.Second),
	})
	want := []Project{
		{Name: "blog", WorkingDir: "/w", Files: []string{"stack.yaml"}, Exited: 1, Since: now.Add(-time.Second)},
		{Name: "shop", WorkingDir: "/w", Files: []string{"stack.yaml"}, Running: 2, Restarting: 1, Exited: 2, Created: 1, Since: now.Add(-time.Hour)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
