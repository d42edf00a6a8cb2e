package deploy

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
	"github.com/orlop/orlop/spec"
)

// workloadOf is a workload of the service db, with a claim.
func workloadOf(kind, claim string, conditions ...any) *cluster.Live {
	return workloadNamed("db", kind, claim, conditions...)
}

// workloadNamed is one of a service.
func workloadNamed(name, kind, claim string, conditions ...any) *cluster.Live {
	return &cluster.Live{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": kind,
		"metadata": map[string]any{"name": name, "uid": kind, "labels": map[string]any{manifest.LabelService: name}},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"volumes": []any{
			map[string]any{"name": "data", "persistentVolumeClaim": map[string]any{"claimName": claim}},
		}}}},
		"status": map[string]any{"conditions": conditions},
	}}
}

func TestAllWorkloadsOfOtherKindsThatHaveTheVolumeAreStopped(t *testing.T) {
	p := &spec.Project{
		Name: "shop",
		Services: map[string]*spec.Service{"db": {
			Name: "db", Image: "r/db@sha256:1", Volumes: []spec.Mount{{Type: spec.MountVolume, Source: "data", Target: "/data"}},
			Extensions: map[string]any{"x-orlop": map[string]any{"kind": "deployment"}},
		}},
		Volumes: map[string]*spec.Volume{"data": {Name: "shop_data"}},
	}
	set, found := NewDocument(p, nil).Set(nil)
	if failures := found.Errors(); len(failures) > 0 {
		t.Fatal(failures)
	}
	var db *manifest.Resource
	claim := ""
	for _, r := range set.Resources {
		if r.Workload != nil {
			db = r
		}
		if r.Kind == manifest.OfVolume {
			claim = r.Objects[0].Name
		}
	}
	for name, c := range map[string]struct {
		live    []*cluster.Live
		stopped string
		of      string // what the service was
	}{
		"nothing is there":               {nil, "", ""},
		"its own":                        {[]*cluster.Live{workloadOf("Deployment", claim)}, "", "Deployment"},
		"another":                        {[]*cluster.Live{workloadOf("StatefulSet", claim)}, "StatefulSet ", "StatefulSet"},
		"another beside its own":         {[]*cluster.Live{workloadOf("Deployment", claim), workloadOf("StatefulSet", claim)}, "StatefulSet ", "StatefulSet"},
		"two others":                     {[]*cluster.Live{workloadOf("DaemonSet", claim), workloadOf("StatefulSet", claim)}, "DaemonSet StatefulSet ", "DaemonSet"},
		"another with another volume":    {[]*cluster.Live{workloadOf("StatefulSet", "mine")}, "", "StatefulSet"},
		"the same beside its own":        {[]*cluster.Live{workloadOf("StatefulSet", "mine"), workloadOf("Deployment", claim)}, "", "Deployment"},
		"of its former name":             {[]*cluster.Live{workloadNamed("base", "StatefulSet", claim)}, "StatefulSet ", ""},
		"a former one beside its own":    {[]*cluster.Live{workloadOf("Deployment", claim), workloadNamed("base", "StatefulSet", claim)}, "", "Deployment"},
		"a former one of another volume": {[]*cluster.Live{workloadNamed("base", "StatefulSet", "mine")}, "", ""},
		"a job that goes on":             {[]*cluster.Live{workloadOf("Job", claim)}, "Job ", "Job"},
		"a job that has ended":           {[]*cluster.Live{workloadOf("Job", claim, map[string]any{"type": "Complete", "status": "True"})}, "", "Job"},
		"a job that has not failed, yet": {[]*cluster.Live{workloadOf("Job", claim, map[string]any{"type": "Failed", "status": "False"})}, "Job ", "Job"},
	} {
		plan := &Plan{set: set, Observed: &Observed{Objects: map[string]*cluster.Live{}}}
		for _, live := range c.live {
			plan.Observed.Objects[idOf(live)] = live
		}
		stopped, of := "", ""
		for _, live := range plan.stopped(db) {
			stopped += live.GetKind() + " "
		}
		if live := plan.liveOf(db); live != nil {
			of = live.GetKind()
		}
		if stopped != c.stopped || of != c.of {
			t.Errorf("%s: %q are stopped and it was a %q, want %q and %q", name, stopped, of, c.stopped, c.of)
		}
	}
}

// TestAJobThatRunsIsStoppedForTheNext where that is another one: two migrations at once are none.
func TestAJobThatRunsIsStoppedForTheNext(t *testing.T) {
	p := &spec.Project{Name: "shop", Services: map[string]*spec.Service{"db": {Name: "db", Image: "r/db@sha256:1", Deploy: &spec.Deploy{Mode: spec.DeployReplicatedJob}}}}
	set, _ := NewDocument(p, nil).Set(nil)
	var db *manifest.Resource
	for _, r := range set.Resources {
		if r.Workload != nil {
			db = r
		}
	}
	if db == nil || !db.OneShot {
		t.Fatal("it is no job")
	}
	named := func(name string, conditions ...any) *cluster.Live {
		live := workloadOf("Job", "", conditions...)
		live.SetName(name)
		return live
	}
	for name, c := range map[string]struct {
		live *cluster.Live
		want int
	}{
		"the same":                   {named(db.Workload.Name), 0},
		"another that runs":          {named("db-1"), 1},
		"another that has completed": {named("db-1", map[string]any{"type": "Complete", "status": "True"}), 0},
		"another that has failed":    {named("db-1", map[string]any{"type": "Failed", "status": "True"}), 0},
	} {
		plan := &Plan{set: set, Observed: &Observed{Objects: map[string]*cluster.Live{idOf(c.live): c.live}}}
		if got := plan.stopped(db); len(got) != c.want {
			t.Errorf("%s: %d are stopped, want %d", name, len(got), c.want)
		}
	}
}

func TestTheSchedulesOfAJobAreBesideEachOther(t *testing.T) {
	schedules := []spec.Schedule{{Cron: "0 1 * * *"}, {Cron: "0 2 * * *"}}
	p := &spec.Project{Name: "shop", Jobs: map[string]*spec.Service{"backup": {Name: "backup", Image: "r/backup@sha256:1", Triggers: &spec.Triggers{Schedule: schedules}}}}
	set, found := NewDocument(p, nil).Set(nil)
	plan := &Plan{set: set, Observed: &Observed{Objects: map[string]*cluster.Live{}}}
	var jobs []*manifest.Resource
	for _, r := range set.Resources {
		if r.Workload != nil {
			live := &cluster.Live{Object: map[string]any{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": r.Workload.Body["metadata"]}}
			live.SetName(r.Workload.Name)
			plan.Observed.Objects[r.Workload.ID()] = live
			jobs = append(jobs, r)
		}
	}
	if len(jobs) != len(schedules) {
		t.Fatalf("there are %d: %v", len(jobs), found.Errors())
	}
	for _, r := range jobs {
		if stopped := plan.stopped(r); len(stopped) > 0 {
			t.Errorf("%s is stopped for %s", stopped[0].GetName(), r.Workload.Name)
		}
	}
}

func TestThePodsOfAWorkloadBesideAreNotWaitedFor(t *testing.T) {
	object := func(name, owner string) *cluster.Live {
		meta := map[string]any{"name": name, "uid": name}
		if owner != "" {
			meta["ownerReferences"] = []any{map[string]any{"uid": owner}}
		}
		return &cluster.Live{Object: map[string]any{"metadata": meta}}
	}
	pods := []*cluster.Live{object("of-set", "set"), object("own", "agent"), object("gone", "db"), object("of-unknown-set", "unknown"), object("nobodys", "")}
	var left string
	for _, pod := range podsBut(pods, []*cluster.Live{object("set", "web")}, map[types.UID]bool{"web": true, "agent": true}) {
		left += pod.GetName() + " "
	}
	if want := "gone of-unknown-set nobodys "; left != want {
		t.Errorf("%s are waited for, want %s", left, want)
	}
}
