package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/engine/vault"
	"github.com/orlop/orlop/planner"
)

const shop = `{"name":"shop","services":{
	"web":{"name":"web","image":"shop/web","build":{"context":"/src"}},
	"db":{"name":"db","image":"postgres:17"}}}`

func shopRequest() *api.ApplyRequest {
	return &api.ApplyRequest{Project: []byte(shop), WorkingDir: "/src", Files: []string{"/src/stack.yaml"}}
}

func TestAnApplyRequestIsDecoded(t *testing.T) {
	d := newDesk(t)
	req := shopRequest()
	req.Options, req.BuildOptions = []byte(`{"no_deps":true}`), []byte(`{}`)
	req.Disabled = []string{"debug"}
	req.HasStopTimeout, req.StopTimeoutMs = true, 1500
	j, err := d.decode(req)
	if err != nil {
		t.Fatal(err)
	}
	if j.project.Name != "shop" || !j.options.NoDeps || j.project.Disabled["debug"] == nil {
		t.Errorf("%+v, %+v", j.project, j.options)
	}
	o := j.order
	if o.Project != "shop" || o.WorkingDir != "/src" || len(o.Files) != 1 || o.Images["web"] != "shop/web" || o.Images["db"] != "postgres:17" {
		t.Errorf("the order is %+v", o)
	}
	if !o.Grace.Set || o.Grace.Time != 1500*time.Millisecond {
		t.Errorf("containers get %+v to stop", o.Grace)
	}
}

func TestAnApplyRequestThatCantBeReadIsRefused(t *testing.T) {
	d := newDesk(t)
	for want, spoil := range map[string]func(*api.ApplyRequest){
		"cannot read the options: ":             func(r *api.ApplyRequest) { r.Options = []byte(`{"services":3}`) },
		"cannot read the build options: ":       func(r *api.ApplyRequest) { r.BuildOptions = []byte(`[]`) },
		"cannot read the places: ":              func(r *api.ApplyRequest) { r.Places = []byte(`7`) },
		`without the cache "gopher": `:          func(r *api.ApplyRequest) { r.BuildOptions = []byte(`{"cache_from":[{"type":"gopher"}]}`) },
		`engine is built without the cache "m"`: func(r *api.ApplyRequest) { r.BuildOptions = []byte(`{"cache_to":[{"type":"m"}]}`) },
		`service "web" is empty`:                func(r *api.ApplyRequest) { r.Project = []byte(`{"name":"shop","services":{"web":null}}`) },
		"":                                      func(r *api.ApplyRequest) { r.Project = nil },
	} {
		req := shopRequest()
		spoil(req)
		if _, err := d.decode(req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestADigestOfAPayloadTellsAChangeAndNothingElse: who sees it can't guess a
// short secret, or that two projects have the same one.
func TestADigestOfAPayloadTellsAChangeAndNothingElse(t *testing.T) {
	d := newDesk(t)
	digest := func(d *desk, project, name, content string) string {
		return digestsOf(t, d.Engine, project, map[string]*api.Payload{name: {Content: []byte(content), Secret: true}})[name]
	}
	seen := map[string]string{}
	for name, got := range map[string]string{
		"the digest":             digest(d, "shop", "secrets.key", "1234"),
		"another content":        digest(d, "shop", "secrets.key", "1235"),
		"another name":           digest(d, "shop", "secrets.pin", "1234"),
		"another project":        digest(d, "shop-pr7", "secrets.key", "1234"),
		"that of another engine": digest(newDesk(t), "shop", "secrets.key", "1234"),
	} {
		if seen[got] != "" || got == "" {
			t.Errorf("%s is that of %s: %q", name, seen[got], got)
		}
		seen[got] = name
	}
	before := digest(d, "shop", "secrets.key", "1234")
	if err := d.store.Flush(); err != nil {
		t.Fatal(err)
	}
	if after := digest(d, "shop", "secrets.key", "1234"); after != before {
		t.Errorf("without a change it is %s, then %s", before, after)
	}
}

// TestSecretsAreHiddenBeforeTheyAreKept: a plan hides what its request brings,
// what is kept of the project, and no config.
func TestSecretsAreHiddenBeforeTheyAreKept(t *testing.T) {
	d := newDesk(t)
	req := shopRequest()
	req.Payloads = map[string]*api.Payload{
		"secrets.key": {Content: []byte("open sesame\n"), Secret: true}, "configs.motd": {Content: []byte("welcome")},
	}
	j, err := d.decode(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := j.mask.Text("welcome, open sesame"); got != "welcome, ***" {
		t.Errorf("it shows %q", got)
	}
	if got := d.runner.Mask("shop").Text("open sesame"); got != "open sesame" {
		t.Errorf("a request that was only read is kept: %q", got)
	}
	if len(j.options.Files) != 2 || strings.Contains(fmt.Sprint(j.options.Files), "sesame") {
		t.Errorf("the planner gets %v", j.options.Files)
	}
}

// TestARecordOfABuildCountsForWhatIsHere: one that speaks of another image, or of
// another base, says nothing.
func TestARecordOfABuildCountsForWhatIsHere(t *testing.T) {
	for name, c := range map[string]struct {
		then func(d *desk)
		want bool
	}{
		"nothing changed":        {func(*desk) {}, true},
		"the image is another":   {func(d *desk) { d.image(t, "shop/web", "other") }, false},
		"the image is gone":      {func(d *desk) { d.image(t, "shop/web", "") }, false},
		"the base is another":    {func(d *desk) { d.image(t, "alpine", "newer") }, false},
		"the base is gone":       {func(d *desk) { d.image(t, "alpine", "") }, true},
		"an unseen base is here": {func(d *desk) { d.image(t, "golang:1", "pulled") }, true},
		"the record is spoilt":   {func(d *desk) { d.store.Save(bucketBuilds, "docker.io/shop/web:latest", []byte("{")) }, false},
		"the record has no inputs": {func(d *desk) {
			now, _ := d.images.Digest(d.ctx, "shop/web")
			d.store.Save(bucketBuilds, "docker.io/shop/web:latest", fmt.Appendf(nil, `{"digest":%q}`, now))
		}, false},
		"a build of unknown inputs": {func(d *desk) {
			d.recordBuild(d.ctx, "docker.io/shop/web:latest", d.image(t, "shop/web", "the image"), nil)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.image(t, "alpine", "the base")
			in := &planner.Inputs{Sum: "sum", Bases: map[string]string{"alpine": "", "golang:1": ""}}
			d.recordBuild(d.ctx, "docker.io/shop/web:latest", d.image(t, "shop/web", "the image"), in)
			if in.Bases["alpine"] != "" {
				t.Error("what the caller has is changed")
			}
			c.then(d)
			got := d.inputsOf(d.ctx)("shop/web")
			if (got != nil) != c.want || got != nil && got.Sum != "sum" {
				t.Errorf("it gives %+v", got)
			}
		})
	}
}

func TestNoImageNoRecord(t *testing.T) {
	if got := newDesk(t).inputsOf(t.Context())("NOT A NAME"); got != nil {
		t.Errorf("%+v", got)
	}
}

// told is what a caller was told, in order.
func told(t *testing.T, serve func(*mailbox.Box) error) (plans []*planner.Plan, texts []string, verdict *api.Verdict) {
	t.Helper()
	err := mailbox.Serve(func(p *api.Progress) error {
		switch of := p.Of.(type) {
		case *api.Progress_Plan:
			plans = append(plans, of.Plan.Planner())
		case *api.Progress_Event:
			e := of.Event.Planner()
			texts = append(texts, string(e.Kind)+" "+e.Text)
		case *api.Progress_Verdict:
			verdict = of.Verdict
		}
		return nil
	}, serve)
	if err != nil {
		t.Fatal(err)
	}
	return plans, texts, verdict
}

// TestNoSecretIsToldOfAWalk: neither in a plan's reasons, nor in events, nor in
// the verdict.
func TestNoSecretIsToldOfAWalk(t *testing.T) {
	d := newDesk(t)
	d.kitErr = errors.New("cannot reach x with open sesame")
	req := shopRequest()
	req.Payloads = map[string]*api.Payload{"secrets.key": {Content: []byte("open sesame"), Secret: true}}
	j, err := d.decode(req)
	if err != nil {
		t.Fatal(err)
	}
	j.claim = up(1)
	j.claim.cancel = func(error) {}
	plan := &planner.Plan{Project: "shop", Steps: []*planner.Step{{
		ID: "build web", Action: planner.Build, Resource: "web", Service: "web", Name: "shop/web",
		Reasons: []planner.Reason{{Path: "services.web.environment.KEY", From: "open sesame", To: "x"}},
	}}}
	plans, texts, verdict := told(t, func(box *mailbox.Box) error {
		return d.walk(d.ctx, plan, &executor{engine: d.Engine, job: j}, box)
	})
	shown := fmt.Sprint(plans[0].Steps[0].Reasons, texts, verdict)
	if strings.Contains(shown, "sesame") || strings.Count(shown, "***") < 3 {
		t.Errorf("it tells %s", shown)
	}
	if verdict.Ok || verdict.UpToDate || verdict.Interrupted {
		t.Errorf("the verdict is %v", verdict)
	}
	if plan.Steps[0].Reasons[0].From != "open sesame" {
		t.Error("the plan that is walked is changed")
	}
}

func TestAnEmptyPlanIsUpToDate(t *testing.T) {
	d := newDesk(t)
	_, texts, verdict := told(t, func(box *mailbox.Box) error {
		return d.down(d.ctx, &api.DownRequest{Project: "nothing"}, box)
	})
	if !verdict.Ok || !verdict.UpToDate || len(texts) > 0 {
		t.Errorf("%v, %v", verdict, texts)
	}
}

// TestWhatCantBeKeptIsNoSuccess: who is told that all is well may rely on it
// after a crash.
func TestWhatCantBeKeptIsNoSuccess(t *testing.T) {
	d := newDesk(t)
	name := d.image(t, "postgres:17", "db")
	if name == "" {
		t.Fatal("no image")
	}
	d.store.Save("a", badKey, []byte("x"))
	defer func() { d.store.Delete("a", badKey) }()
	plan := &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: "rm", Action: planner.RemoveImage, Resource: "postgres:17", Name: "postgres:17"}}}
	j, err := d.decode(shopRequest())
	if err != nil {
		t.Fatal(err)
	}
	j.claim = up(1)
	_, _, verdict := told(t, func(box *mailbox.Box) error { return d.walk(d.ctx, plan, &executor{engine: d.Engine, job: j}, box) })
	if verdict.Ok || !strings.HasPrefix(verdict.Error, "cannot keep what was applied: ") {
		t.Errorf("the verdict is %v", verdict)
	}
}

// TestOnlyWhatContainersAreToGetMustBeThere: an external secret that the engine doesn't keep
// is missed by who needs it alone.
func TestOnlyWhatContainersAreToGetMustBeThere(t *testing.T) {
	d := newDesk(t)
	d.Engine.vault = vault.New(t.TempDir(), time.Now)
	for _, test := range []struct {
		options string
		missed  bool
	}{
		{`{}`, true}, {`{"services":["web"]}`, true}, {`{"services":["mail"]}`, true}, {`{"services":["mail"],"no_deps":true}`, false},
		{`{"services":["db"]}`, false}, {`{"build_only":true}`, false}, {`{"pull_only":true}`, false},
	} {
		_, err := d.decode(&api.ApplyRequest{Options: []byte(test.options), WorkingDir: "/src", Project: []byte(`{"name":"shop",
			"services":{"web":{"image":"a","secrets":[{"source":"key","target":"/run/secrets/key"}]},"db":{"image":"b"},
				"mail":{"image":"c","depends_on":{"web":{"condition":"service_started","required":true}}}},
			"secrets":{"key":{"name":"key","external":true}}}`)})
		if missed := err != nil && strings.Contains(err.Error(), "external secret key does not exist"); missed != test.missed || !missed && err != nil {
			t.Errorf("%s: %v", test.options, err)
		}
	}
}
