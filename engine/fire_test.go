package engine

import (
	"bytes"
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

// TestARequestForARunHasNoValuesOfOthers: a job is kept with the variables of what it needs.
func TestARequestForARunHasNoValuesOfOthers(t *testing.T) {
	d := newDesk(t)
	j, err := d.decode(&api.ApplyRequest{Project: []byte(`{"name":"shop",
		"services":{"web":{"image":"shop/web","build":{"context":"/src","args":{"A":"of-web-build"}},"environment":{"A":"of-web"}},
			"db":{"image":"postgres:17","environment":{"A":"of-db"}}},
		"jobs":{"other":{"image":"b","environment":{"A":"of-other"},"triggers":{"manual":true}},
			"backup":{"image":"b","environment":{"A":"of-backup"},"depends_on":{"db":{"condition":"service_started","required":true}},"triggers":{"schedule":[{"cron":"0 3 * * *"}]}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := j.unattended("backup")
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{"of-web": false, "of-other": false, "of-db": true, "of-backup": true, "shop/web": true} {
		if got := bytes.Contains(doc, []byte(value)); got != want {
			t.Errorf("it holds %s: %t", value, got)
		}
	}
	if j.project.Services["web"].Environment["A"] == nil || j.project.Services["web"].Build.Args["A"] == nil || j.project.Jobs["other"].Environment["A"] == nil {
		t.Error("the job that is asked for is changed")
	}
}
