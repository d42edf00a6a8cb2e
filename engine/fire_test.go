package engine

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/engine/schedule"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// backups is a stack with a scheduled job.
const backups = `{"name":"shop","services":{"web":{"name":"web","image":"shop/web","build":{"context":"/src"},"scale":0,"environment":{"A":"1"}},"db":{"name":"db","image":"postgres:17","build":{"context":"/src"},"scale":0}},
	"jobs":{"backup":{"name":"backup","image":"postgres:17","build":{"context":"/src"},"depends_on":{"db":{"condition":"service_started","required":true}},"triggers":{"schedule":[{"cron":"0 3 * * *"}]}}}}`

// TestOnlyAnUpOfTheWholeStackIsOneOfItsJobs: what scheduled jobs run is not what a command
// about images or some services read of the stack, nor does such a one end what an up that
// failed is yet to be reminded of.
func TestOnlyAnUpOfTheWholeStackIsOneOfItsJobs(t *testing.T) {
	for options, isWhole := range map[string]bool{
		`{"no_build":true}`: true, `{"no_start":true,"no_build":true}`: true, `{"build_only":true,"no_build":true}`: false, `{"pull_only":true,"pull":"never"}`: false, `{"services":["db"],"no_build":true}`: false,
		`{"services":["db"],"prepare":"db","no_build":true}`: false,
	} {
		t.Run(options, func(t *testing.T) {
			d := newDesk(t)
			d.image(t, "postgres:17", "db")
			d.image(t, "shop/web", "web")
			p, err := spec.ParseProject([]byte(backups))
			if err != nil {
				t.Fatal(err)
			}
			d.schedules.Put(schedule.Job{Project: "shop", Name: "backup", Applied: planner.Wanted(p.ForRun("backup"), "backup", map[string]string{}), Request: []byte("known")})
			d.keepWarned("shop", []string{"an empty directory is made there"}, true, func(s string) string { return s })
			plans, _, verdict := told(t, func(box *mailbox.Box) error {
				return d.apply(d.ctx, &api.ApplyRequest{Project: []byte(backups), WorkingDir: "/src", Options: []byte(options)}, box)
			})
			if !verdict.Ok {
				t.Fatalf("the verdict is %v", verdict)
			}
			jobs, _ := d.schedules.Jobs()
			if renewed := string(jobs[0].Request) != "known"; renewed != isWhole {
				t.Errorf("the job is renewed: %t, %s", renewed, plans[0].Text())
			}
			if reminds := slices.Contains(plans[0].Warnings, lastTry+"an empty directory is made there"); reminds != isWhole {
				t.Errorf("it reminds: %t", reminds)
			}
			if forgets := d.store.Get(bucketWarned, "shop") == nil; forgets != isWhole {
				t.Errorf("it forgets: %t", forgets)
			}
		})
	}
}
