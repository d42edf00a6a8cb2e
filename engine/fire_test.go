package engine

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestARunIsMadeForAFireOfTheStore: nothing is begun of which the next engine would not know.
func TestARunIsMadeForAFireOfTheStore(t *testing.T) {
	d := newDesk(t)
	d.image(t, "postgres:17", "db")
	j, err := d.decode(&api.ApplyRequest{Project: []byte(`{"name":"shop","jobs":{"backup":{"image":"postgres:17","build":{"context":"/src"},"triggers":{"schedule":[{"cron":"0 3 * * *"}]}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	request, err := j.unattended("backup")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	job := schedule.Job{Project: "shop", Name: "backup", Applied: planner.Wanted(j.project.ForRun("backup"), "backup", nil), Request: request, Waiting: []time.Time{at}}
	d.schedules.Put(job)
	d.store.Save("a", badKey, []byte("x"))
	defer func() { d.store.Delete("a", badKey) }()
	f := fires{d.Engine}
	run, err := f.Run(d.ctx, job, at)
	if err == nil || !strings.HasPrefix(err.Error(), "cannot keep the fire: ") {
		t.Errorf("%+v, %v", run, err)
	}
	if err := f.removed(job); errors.Is(err, schedule.ErrGone) || err == nil {
		t.Errorf("a run that was removed by hand ends with %v", err)
	}
	d.schedules.Remove("shop", "backup")
	if err := f.removed(job); !errors.Is(err, schedule.ErrGone) {
		t.Errorf("one that was removed with its stack ends with %v", err)
	}
}

// TestAClockThatWasAhead: containers of runs of a time that is yet to come.
//
// Fault 32: the machine's clock is put right while containers of jobs' runs are there whose fires are yet to come
// Seen: each job runs when it is time by the right clock, and the end of its run is told
// Kept: the container of a run until its end is noted, and those of the last runs
func TestAClockThatWasAhead(t *testing.T) {
	now := time.Date(2026, 11, 29, 3, 0, 10, 0, time.UTC)
	job := schedule.Job{Project: "shop", Name: "tick"}
	ran := func(fire, made time.Time) planner.Container {
		return planner.Container{Name: schedule.RunName("shop", "tick", fire), Service: "tick", OneOff: true, State: planner.Exited, CreatedAt: made}
	}
	hour := func(n int) time.Time { return now.Add(time.Duration(n) * time.Hour) }
	current := ran(now, now)
	all := []planner.Container{ran(hour(24), hour(24)), ran(hour(25), hour(25)), ran(hour(26), hour(26)), ran(hour(-1), hour(-1)), current}
	var names []string
	for _, c := range oldRuns(all, job, current.Name, now) {
		names = append(names, c.Name)
	}
	if want := []string{all[0].Name, all[1].Name}; !slices.Equal(names, want) {
		t.Errorf("removed are %v, want %v", names, want)
	}
	for i, c := range all[:4] {
		all[i] = ran(hour(i), c.CreatedAt) // the run that ends was of a time that is yet to come by now
	}
	if gone := oldRuns(all, job, all[3].Name, now); slices.ContainsFunc(gone, func(c planner.Container) bool { return c.Name == all[3].Name }) {
		t.Error("the container of the run that ends is removed before its end is noted")
	}
	made := ran(now, hour(-20))
	if isMade(job, now, &made) {
		t.Error("a container that was there before the fire is its run")
	}
	job.Begun = now
	if made.State = planner.Running; !isMade(job, now, &made) {
		t.Error("a run of the engine before is not gone on with")
	}
	if made.State = planner.Created; isMade(job, now, &made) || isMade(job, now, nil) {
		t.Error("what was never started is a run")
	}
}
