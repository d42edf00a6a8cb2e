package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/instance"
)

func TestOnlyInstancesThatNobodyUsesAreAbandoned(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	all := []*api.ProjectInfo{
		{Name: "shop"}, // no instance: never
		{Name: "shop-old", Instance: "old", UsedUnixMs: ago(25 * time.Hour), Running: 3},
		{Name: "shop-held", Instance: "held", UsedUnixMs: ago(48 * time.Hour), InUse: true},
		{Name: "shop-new", Instance: "new", UsedUnixMs: ago(time.Hour)},
		{Name: "shop-down", Instance: "down", UsedUnixMs: ago(24 * time.Hour)},
	}
	for _, c := range []struct {
		wanted    []string
		olderThan time.Duration
		running   bool
		want      string
		left      string
	}{
		{nil, 24 * time.Hour, true, "shop-old shop-down", ""},
		{nil, 24 * time.Hour, false, "shop-down", "shop-old"},
		{nil, 0, true, "shop-old shop-new shop-down", ""},
		{nil, 100 * time.Hour, false, "", ""},
		{[]string{"shop", "shop-held", "shop-down"}, time.Hour, false, "shop-down", ""},
	} {
		names := func(list []*api.ProjectInfo) string {
			var got []string
			for _, p := range list {
				got = append(got, p.Name)
			}
			return strings.Join(got, " ")
		}
		req := &api.CollectRequest{OlderThanMs: c.olderThan.Milliseconds(), Projects: c.wanted, Running: c.running}
		if got, left := abandoned(all, req, now); names(got) != c.want || names(left) != c.left {
			t.Errorf("of %q, older than %s, %q are abandoned, %q are left, want %s and %s", c.wanted, c.olderThan, names(got), names(left), c.want, c.left)
		}
	}
}

func TestTheProjectOfAMessage(t *testing.T) {
	for want, m := range map[string]any{
		"a": &api.ObserveRequest{Project: "a"},
		"b": &api.HoldInput{Project: "b"},
		"c": &api.ProcessInput{Of: &api.ProcessInput_Start{Start: &api.ProcessStart{Project: "c"}}},
		"":  &api.CollectRequest{Projects: []string{"d"}}, // gc uses nothing
	} {
		if got := projectOf(m); got != want {
			t.Errorf("%T is about %q, want %q", m, got, want)
		}
	}
}

// abandon makes an instance that has built an image and that nobody uses.
func (d *desk) abandon(t *testing.T, project string) {
	t.Helper()
	d.instances.Note(instance.Instance{Project: project, Name: strings.TrimPrefix(project, "shop-"), Images: []string{project + "/web"}})
	d.image(t, project+"/web", project)
}

// TestWhatIsGoneIsForgotten: an instance is kept for as long as an image of its
// own is, its secrets for as long as its containers are.
func TestWhatIsGoneIsForgotten(t *testing.T) {
	d := newDesk(t)
	d.abandon(t, "shop-pr7")
	d.runner.SetPayloads("shop-pr7", map[string][]byte{"secrets.key": []byte("open sesame")}, nil)
	if d.runner.Mask("shop-pr7").IsEmpty() {
		t.Fatal("it has no secrets")
	}
	d.forgetGone(d.ctx, "shop-pr7")
	if !d.runner.Mask("shop-pr7").IsEmpty() {
		t.Error("its secrets are kept, and it has no containers")
	}
	if len(d.instances.List()) != 1 {
		t.Error("it is forgotten, and an image of its own is left")
	}
	d.image(t, "shop-pr7/web", "")
	d.forgetGone(d.ctx, "shop-pr7")
	if len(d.instances.List()) != 0 {
		t.Error("nothing is left of it, and it is remembered")
	}
}

func TestAnInstanceIsInUseWhileACommandIsAboutIt(t *testing.T) {
	d := newDesk(t)
	d.abandon(t, "shop-pr7")
	inUse := func() bool { return d.projectInfos()[0].InUse }
	d.enter("shop-pr7")
	d.enter("shop-pr7")
	d.leave("shop-pr7")
	if !inUse() {
		t.Error("one of two commands has ended, and it is not in use")
	}
	d.leave("shop-pr7")
	if inUse() || len(d.callers) > 0 {
		t.Error("nobody is about it, and it is in use")
	}
	mustHold(t, d.Engine, "a")
	if d.inUse("shop-pr7") || !d.inUse("shop") {
		t.Error("a hold counts for another project than its own")
	}
}

func TestCollectRemovesWhatIsAbandoned(t *testing.T) {
	d := newDesk(t)
	d.abandon(t, "shop-old")
	d.abandon(t, "shop-busy")
	d.enter("shop-busy")
	collect := func(req *api.CollectRequest) string {
		t.Helper()
		reply, err := d.Collect(d.ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range reply.Projects {
			names = append(names, p.Name+" "+strings.Join(p.Images, " "))
		}
		return strings.Join(names, "|")
	}
	for range 2 { // the first takes nothing away
		if got := collect(&api.CollectRequest{DryRun: true}); got != "shop-old shop-old/web" {
			t.Errorf("it would remove %q", got)
		}
	}
	if got := collect(&api.CollectRequest{OlderThanMs: time.Hour.Milliseconds()}); got != "" {
		t.Errorf("it removes %q, which was used a moment ago", got)
	}
	if got := collect(&api.CollectRequest{}); got != "shop-old shop-old/web" {
		t.Errorf("it removes %q", got)
	}
	list := d.instances.List()
	if len(list) != 1 || list[0].Project != "shop-busy" {
		t.Errorf("there are %v", list)
	}
	for _, ref := range []string{"shop-old/web", "shop-busy/web"} {
		if got, err := d.images.Digest(d.ctx, ref); err != nil || (got == "") != (ref == "shop-old/web") {
			t.Errorf("%s is %q, %v", ref, got, err)
		}
	}
}

// TestAnInstanceThatIsUsedMeanwhileStays: between the look and the removal a
// command may come.
func TestAnInstanceThatIsUsedMeanwhileStays(t *testing.T) {
	d := newDesk(t)
	d.abandon(t, "shop-old")
	asked := false
	removed, err := d.removeProject(d.ctx, &claim{verb: "gc", project: "shop-old"}, runner.Grace{}, func() bool {
		first, _ := d.locks.first("shop-old")
		asked = first.verb == "gc" // nobody else can change it now
		return true
	})
	if removed || err != nil || !asked || len(d.instances.List()) != 1 {
		t.Errorf("removed %t, %v, asked under its lock %t", removed, err, asked)
	}
}

func TestAnInstanceIsNotedWithTheImagesItBuilds(t *testing.T) {
	d := newDesk(t)
	req := shopRequest()
	req.Project = []byte(strings.NewReplacer(`"name":"shop"`, `"name":"shop-pr7","instance":"pr7"`, `"shop/web"`, `"shop-pr7-web"`).Replace(shop))
	j, err := d.decode(req)
	if err != nil {
		t.Fatal(err)
	}
	d.noteInstance(j)
	list := d.instances.List()
	if len(list) != 1 || list[0].Name != "pr7" || list[0].WorkingDir != "/src" || len(list[0].Files) != 1 {
		t.Fatalf("%+v", list)
	}
	if got := strings.Join(list[0].Images, " "); got != "shop-pr7-web" {
		t.Errorf("with it go the images %s", got)
	}
}

func TestALifecycleRequestLeavesOthersAlone(t *testing.T) {
	all := &planner.Observed{Containers: []planner.Container{
		{ID: "web", Service: "web", State: planner.Running}, {ID: "db", Service: "db", State: planner.Exited},
		{ID: "made", Service: "db", State: planner.Created}, {ID: "run", Service: "web", OneOff: true, State: planner.Running},
	}}
	for want, req := range map[string]*api.LifecycleRequest{
		"web db made":     {},
		"web db made run": {IncludeOneOff: true},
		"db made":         {OnlyStopped: true, IncludeOneOff: true},
		"web":             {Within: []string{"web"}},
		"web db made ":    {Within: []string{"web"}, Services: []string{"db"}}, // the services that are named say more
	} {
		var got []string
		for _, c := range narrow(all, req).Containers {
			got = append(got, c.ID)
		}
		if strings.Join(got, " ") != strings.TrimSpace(want) {
			t.Errorf("%v is about %q, want %q", req, got, want)
		}
	}
	if len(all.Containers) != 4 {
		t.Error("what was observed is changed")
	}
}
