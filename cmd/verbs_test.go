package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestUpFlagsBecomeOptions(t *testing.T) {
	for line, want := range map[string]planner.Options{
		"up -d":                           {},
		"up -d web":                       {Services: []string{"web"}},
		"up -d --build --no-deps web":     {Services: []string{"web"}, Build: true, NoDeps: true},
		"up -d --no-build":                {NoBuild: true},
		"up --wait":                       {Wait: true},
		"up --wait-timeout 5":             {Wait: true},
		"up -d --force-recreate":          {ForceRecreate: true},
		"up -d --no-recreate":             {NoRecreate: true},
		"up --no-start":                   {NoStart: true},
		"up -d --no-recreate --y":         {NoRecreate: true, Disturb: true, Discard: true},
		"up -d --remove-orphans":          {RemoveOrphans: true},
		"up -d --pull always":             {Pull: "always"},
		"plan --pull missing web":         {Services: []string{"web"}, Pull: "missing"},
		"build":                           {BuildOnly: true, Build: true, NoDeps: true},
		"build --with-dependencies web":   {Services: []string{"db", "web"}, BuildOnly: true, Build: true},
		"pull web":                        {Services: []string{"web"}, PullOnly: true, NoDeps: true},
		"pull --policy missing":           {PullOnly: true, NoDeps: true, Pull: "missing"},
		"--progress quiet up -d -f x.yml": {},
	} {
		t.Run(line, func(t *testing.T) {
			d := newDesk(t, shop).serve()
			d.engine.plan = &planner.Plan{Project: "shop"}
			if strings.Contains(line, "x.yml") {
				if err := os.WriteFile(filepath.Join(d.dir, "x.yml"), []byte(shop), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, stderr, code := d.run(line); code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if got := d.applied(); !reflect.DeepEqual(got, want) {
				t.Errorf("options are %+v, want %+v", got, want)
			}
		})
	}
}

func TestUpSendsTheProject(t *testing.T) {
	d := newDesk(t, shop+"  off: {image: x, profiles: [debug]}\n  it: {image: y, secrets: [key]}\nsecrets: {key: {environment: KEY}}\n").serve()
	d.env = []string{"KEY=canary"}
	if _, stderr, code := d.run("up -d --scale web=3 -t 7"); code != 0 {
		t.Fatal(stderr)
	}
	req := d.engine.apply
	p, err := spec.ParseProject(req.Project)
	if err != nil {
		t.Fatal(err)
	}
	if p.Services["web"].Replicas() != 3 || p.Services["db"].Replicas() != 1 {
		t.Errorf("replicas are %d and %d, want 3 and 1", p.Services["web"].Replicas(), p.Services["db"].Replicas())
	}
	if req.StopTimeoutMs != 7000 || !req.HasStopTimeout {
		t.Errorf("stop timeout is %d ms, %t", req.StopTimeoutMs, req.HasStopTimeout)
	}
	if len(req.Disabled) != 1 || req.Disabled[0] != "off" {
		t.Errorf("disabled services are %q", req.Disabled)
	}
	if s := req.Payloads["secrets.key"]; s == nil || string(s.Content) != "canary" || !s.Secret {
		t.Errorf("payload of the secret is %v", s)
	}
	if strings.Contains(string(req.Project)+string(req.Options)+string(req.Places), "canary") {
		t.Error("the secret is in a document")
	}
	if !strings.Contains(string(req.Places), `"services.web.image"`) || req.WorkingDir != d.dir || len(req.Files) != 1 {
		t.Errorf("places, directory or files are missing: %s %q %q", req.Places, req.WorkingDir, req.Files)
	}
}

func TestDownAndLifecycleRequests(t *testing.T) {
	d := newDesk(t, shop+"  debug: {image: busybox, profiles: [debug]}\n").serve()
	started, all := []string{"db", "web"}, []string{"db", "web", "debug"}
	d.engine.plan = &planner.Plan{Project: "shop"}
	if _, stderr, code := d.run("down -v --rmi local --remove-orphans -t 3"); code != 0 {
		t.Fatal(stderr)
	}
	var opts planner.DownOptions
	if err := json.Unmarshal(d.engine.down.Options, &opts); err != nil {
		t.Fatal(err)
	}
	want := planner.DownOptions{Services: []string{}, Volumes: true, RemoveImages: "local", RemoveOrphans: true}
	opts.Services = append([]string{}, opts.Services...)
	if !reflect.DeepEqual(opts, want) || d.engine.down.StopTimeoutMs != 3000 || d.engine.down.Project != "shop" || len(d.engine.down.Document) == 0 {
		t.Errorf("request is %+v", d.engine.down)
	}
	for line, want := range map[string]*api.LifecycleRequest{
		"start db":         {Action: "start", Services: []string{"db"}},
		"start":            {Action: "start", Within: started},
		"restart":          {Action: "restart", Within: started},
		"stop -t 0":        {Action: "stop", HasStopTimeout: true, Within: all},
		"restart -t 2 web": {Action: "restart", Services: []string{"web"}, StopTimeoutMs: 2000, HasStopTimeout: true},
		"kill":             {Action: "kill", Signal: "SIGKILL", Within: all},
		"kill -s HUP web":  {Action: "kill", Services: []string{"web"}, Signal: "HUP"},
		"rm -fv":           {Action: "remove", RemoveVolumes: true, OnlyStopped: true, Within: all},
		"rm -sf db":        {Action: "remove", Services: []string{"db"}},
	} {
		d.engine.lifecycle = nil
		d.engine.observed.Containers = []planner.Container{{Service: "web"}, {Service: "db"}} // down has emptied it
		if _, stderr, code := d.run(line); code != 0 {
			t.Fatalf("%s: %s", line, stderr)
		}
		want.Project = "shop"
		if got := d.engine.lifecycle[0]; got.String() != want.String() {
			t.Errorf("%s asks for %s, want %s", line, got, want)
		}
	}
}

func TestDownNeedsNoStackFileWithAName(t *testing.T) {
	d := newDesk(t, "").serve()
	if _, stderr, code := d.run("-p other down"); code != 0 || d.engine.down.Project != "other" || len(d.engine.down.Document) != 0 {
		t.Errorf("exit code %d: %s: %v", code, stderr, d.engine.down)
	}
}

func TestExitCodes(t *testing.T) {
	change := &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: "create web/1", Action: planner.Create, Resource: "web/1"}}}
	for _, c := range []struct {
		line string
		plan *planner.Plan
		fail bool
		code int
	}{
		{"plan", change, false, 0},
		{"plan --detailed-exitcode", change, false, 2},
		{"plan --detailed-exitcode", &planner.Plan{Project: "shop"}, false, 0},
		{"plan --detailed-exitcode nope", change, false, 1},
		{"up -d", change, true, 1},
		{"up -d", change, false, 0},
		{"up --nope", change, false, 1},
		{"up -d --progress fancy", change, false, 1},
		{"version", nil, false, 0},
		{"nope", nil, false, 1},
		{"help", nil, false, 0},
		{"help up", nil, false, 0},
		{"help engine stop", nil, false, 0},
		{"help nope", nil, false, 64},
		{"help engine nope", nil, false, 64},
	} {
		d := newDesk(t, shop).serve()
		d.engine.plan = c.plan
		if c.fail {
			d.engine.verdict = &api.Verdict{Error: "no"}
		}
		if _, stderr, code := d.run(c.line); code != c.code {
			t.Errorf("%s ends with %d, want %d: %s", c.line, code, c.code, stderr)
		}
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	for _, line := range []string{"version", "--version", "-v"} {
		d := newDesk(t, "")
		if stdout, stderr, code := d.run(line); code != 0 || stdout != "orlop version v1\n" {
			t.Errorf("%s: %q, %q, %d", line, stdout, stderr, code)
		}
	}
}

// TestAStackOfProfilesAlone: an up of nothing says what there is.
func TestAStackOfProfilesAlone(t *testing.T) {
	d := newDesk(t, "services:\n  web: {image: a, profiles: [b, debug]}\n  db: {image: a, profiles: [debug]}\n").serve()
	d.engine.plan = &planner.Plan{Project: "shop"}
	_, stderr, code := d.run("up -d")
	if want := " ! no service is active: each has a profile; activate it with --profile b or debug\n"; code != 0 || !strings.HasSuffix(stderr, want) {
		t.Errorf("%d, %q", code, stderr)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct{ line, stack, want string }{
		{"up wbe", shop, "no service named \"wbe\" (did you mean \"web\"?)\n"},
		{"up nosuch", shop, "no service named \"nosuch\": the stack has db, web\n"},
		{"cp web:/a", shop, "orlop cp needs what to copy and where to: see orlop cp --help\n"},
		{"cp a b", shop, "one of both must be SERVICE:PATH: to copy files of the machine there is cp\n"},
		{"cp web: b", shop, "\"web:\" names no path: write SERVICE:PATH\n"},
		{"cp --index -1 web:/a b", shop, "--index is -1: numbers of containers begin with 1\n"},
		{"container diff --format xml web", shop, "--format is \"xml\": it must be one of table, json\n"},
		{"image ls --filter before=nosuch", shop, "--filter before=nosuch: no image is called that: \"orlop image ls\" lists what there is\n"},
		{"image ls --filter size=3", shop, "--filter is \"size=3\": it must be reference=PATTERN, dangling=true|false, before=IMAGE or since=IMAGE\n"},
		{"image ls --format {{.Nope}}", shop, "--format is \"{{.Nope}}\": images have no field Nope: there are Containers, CreatedAt, CreatedSince, Digest, ID, Name, Platforms, Repository, SharedSize, Size, Tag, UniqueSize, UsedBy\n"},
		{"volume ls --format {{.Nmae}}", shop, "--format is \"{{.Nmae}}\": volumes have no field Nmae: did you mean \"Name\"?\n"},
		{"ls --format {{.Nmae}}", shop, "--format is \"{{.Nmae}}\": stacks have no field Nmae: did you mean \"Name\"?\n"},
		{"stats --format {{.Nmae}}", shop, "--format is \"{{.Nmae}}\": measurements have no field Nmae: did you mean \"Name\"?\n"},
		{"images --format xml", shop, "--format is \"xml\": it must be table, json, or a Go template such as '{{.Name}}' or 'table {{.Name}}\\t{{.Status}}'\n"},
		{"version --format table", shop, "--format is \"table\": it must be one of pretty, json, a template such as '{{.Version}}'\n"},
		{"image prune -a --filter until=never", shop, "--filter is \"until=never\": until must be a duration such as 240h, or a time such as 2026-01-31T12:00\n"},
		{"image prune -a --filter name=x", shop, "--filter is \"name=x\": it must be until=TIME, label=NAME[=VALUE] or label!=NAME[=VALUE]\n"},
		{"login a b@c", shop, "orlop login takes [REGISTRY], not \"b@c\" too: see orlop login --help\n"},
		{"why", shop, "orlop why needs a service: see orlop why --help\n"},
		{"why web db", shop, "orlop why takes SERVICE, not \"db\" too: see orlop why --help\n"},
		{"network connect edge", shop, "orlop network connect needs NETWORK CONTAINER: see orlop network connect --help\n"},
		{"ls web", shop, "orlop ls takes no arguments, not \"web\": see orlop ls --help\n"},
		{"run -it web", shop, "the input device is not a TTY: leave --tty out, or use -T\n"},
		{"publish", shop, "orlop publish needs a repository: see orlop publish --help\n"},
		{"publish x --insecure-registry", shop, "the engine reaches docker.io with TLS: write \"http: true\" for it in engine.yaml (docs/engine.md, Settings)\n"},
		{"--dry-run exec web true", shop, "orlop exec has no dry run: nothing was done\n"},
		{"volume rm data --dry-run", shop, "no volume named data: \"orlop volume ls\" lists what there is\n"},
		{"build --check --push", shop, "--push cannot be used together with --check or --print, which build nothing\n"},
		{"build --print --push", shop, "--push cannot be used together with --check or --print, which build nothing\n"},
		{"build --print --check", shop, "--check and --print cannot be used together\n"},
		{"--dry-run logout r.test", shop, "orlop logout has no dry run: nothing was done\n"},
		{"engine stop --dry-run", shop, "orlop engine stop has no dry run: nothing was done\n"},
		{"up -V --no-recreate", shop, "--renew-anon-volumes and --no-recreate cannot be used together\n"},
		{"up --always-recreate-deps --no-recreate", shop, "--always-recreate-deps and --no-recreate cannot be used together\n"},
		{"up -d --attach web", shop, "--attach, --no-attach and --attach-dependencies are about the logs of an up that stays with them: they cannot be used with --detach, --wait or --no-start\n"},
		{"up --attach web --attach-dependencies", shop, "--attach and --attach-dependencies cannot be used together\n"},
		{"up --attach nobody", shop, "--attach is \"nobody\": no such service is brought up\n"},
		{"up --no-attach nobody", shop, "--no-attach is \"nobody\": the stack file has no such service\n"},
		{"logs --index 1", shop, "--index is the number of a container of one service: name that service\n"},
		{"start --wait-timeout -1", shop, "--wait-timeout is -1: it must not be negative\n"},
		{"run --tty -T web", shop, "--tty and --no-TTY cannot be used together\n"},
		{"run --env-from-file absent.env --env-from-file gone.env web", shop, "cannot read --env-from-file absent.env: no such file or directory\ncannot read --env-from-file gone.env: no such file or directory\n"},
		{"run --env-from-file absent.env web", shop, "cannot read --env-from-file absent.env: no such file or directory\n"},
		{"run --env-from-file ab\x1b[2Jsent\x07.env web", shop, "cannot read --env-from-file absent .env: no such file or directory\n"},
		{"up -d --menu", shop, "--menu is about an up that stays with the logs: it cannot be used with --detach, --wait or --no-start\n"},
		{"watch --prune=false", shop, "--prune=false cannot be carried out: an image that has no name any more is kept for as long as a container is made of it; give it a name with \"orlop image tag\"\n"},
		{"config --format table", shop, "--format is \"table\": it must be one of yaml, json\n"},
		{"ls --filter nam=x", shop, "--filter is \"nam=x\": it must be name=PATTERN\n"},
		{"scale web", shop, "\"web\" is not SERVICE=N, as in web=3\n"},
		{"scale web=-1", shop, "\"web=-1\" is not SERVICE=N, as in web=3\n"},
		{"scale web=1 web=2", shop, "web is given two numbers\n"},
		{"scale", shop, "orlop scale needs a service with a number, as in web=3: see orlop scale --help\n"},
		{"wait", shop, "orlop wait needs a service: see orlop wait --help\n"},
		{"create --build --no-build", shop, "--build and --no-build cannot be used together\n"},
		{"engine create", shop, "unknown command \"create\": see orlop engine --help\n"},
		{"pss", shop, "unknown command \"pss\": did you mean \"ps\"?\n"},
		{"rnu web", shop, "unknown command \"rnu\": did you mean \"run\"?\n"}, // two letters that were swapped are one slip
		{"engine stat", shop, "unknown command \"stat\": did you mean \"status\"?\n"},
		{"xyzzy", shop, "unknown command \"xyzzy\": see orlop --help\n"},
		{"up --detatch", shop, "unknown flag: --detatch: did you mean --detach?\n"},
		{"up --flie x", shop, "unknown flag: --flie: did you mean --file?\n"},
		{"--porfile x up", shop, "unknown flag: --porfile: did you mean --profile?\n"},
		{"exec --no-tyt web true", shop, "unknown flag: --no-tyt: did you mean --no-TTY?\n"},
		{"up --xyzzy", shop, "unknown flag: --xyzzy: see orlop up --help\n"},
		{"up -Z", shop, "unknown shorthand flag: 'Z' in -Z: see orlop up --help\n"},
		{"up --build --no-build", shop, "--build and --no-build cannot be used together\n"},
		{"up -d --scale web", shop, "--scale is \"web\": it must be SERVICE=N\n"},
		{"up -d --scale wbe=2", shop, "--scale wbe=2: no service named \"wbe\" (did you mean \"web\"?)\n"},
		{"up --pull sometimes", shop, "--pull is \"sometimes\": it must be one of always, missing, never\n"},
		{"ps --format xml", shop, "--format is \"xml\": it must be table, json, or a Go template such as '{{.Name}}' or 'table {{.Name}}\\t{{.Status}}'\n"},
		{"ps --format {{.Nmae}}", shop, "--format is \"{{.Nmae}}\": containers have no field Nmae: did you mean \"Name\"?\n"},
		{"ps --format {{.Name", shop, "--format is \"{{.Name\": 1: unclosed action\n"},
		{"ps --filter size=3", shop, "--filter is \"size=3\": it must be status=STATE, name=TEXT, label=NAME[=VALUE], id=ID, ancestor=IMAGE, network=NAME, volume=NAME, health=HEALTH or exited=CODE\n"},
		{"ps --filter status=up", shop, "--filter status is \"up\": it must be one of created, running, restarting, exited, paused, removing, dead\n"},
		{"logs --since yesterday", shop, "--since is \"yesterday\": it must be a duration (10m), a date (2026-01-31T15:04:05Z) or seconds of Unix time\n"},
		{"exec web", shop, "orlop exec needs a service and a command: see orlop exec --help\n"},
		{"port web 99", shop, "shop is not up: bring it up with \"orlop up\"; \"orlop ls -a\" lists what there is\n"},
		{"run -p 8o:80 web", shop, "bad port \"8o:80\": \"8o\" is not a port (write it as [ADDRESS:][PUBLISHED:]TARGET[/PROTOCOL])\n"},
	} {
		d := newDesk(t, c.stack).serve()
		_, stderr, code := d.run(c.line)
		if code != 1 {
			t.Errorf("%s ends with %d, want 1", c.line, code)
		}
		equal(t, "error of "+c.line, stderr, c.want)
	}
}

func TestMistakesAreShownWithTheirLines(t *testing.T) {
	d := newDesk(t, "services:\n  web:\n    image: x\n    prots: [80]\n").serve()
	_, stderr, code := d.run("up -d")
	want := `stack.yaml:4:5: services.web: unknown key "prots"
    4 |     prots: [80]
      |     ^^^^^ did you mean "ports"?
1 mistake in stack.yaml; nothing was changed
`
	if code != 1 || d.engine.apply != nil {
		t.Errorf("exit code is %d, and the engine was asked for %v", code, d.engine.apply)
	}
	equal(t, "complaint", stderr, want)
}

func TestEngineIsStartedByRootOnly(t *testing.T) {
	d := newDesk(t, shop)
	_, stderr, code := d.run("ps")
	equal(t, "error", stderr, "no engine is running at "+d.state+"/orlop.sock, and only root may start one: run \"sudo orlop engine start\"\n")
	if code != 1 {
		t.Errorf("exit code is %d", code)
	}
	d.root = true
	if _, stderr, code := d.run("ps"); code != 0 || len(d.started) != 1 || d.started[0] != d.dir+" "+d.state {
		t.Errorf("exit code %d: %s: started %q", code, stderr, d.started)
	}
}

func TestVersionsThatDifferAreSaid(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.version = "v0"
	_, stderr, code := d.run("ps")
	equal(t, "warning", stderr, "engine is v0, command is v1: run \"orlop engine restart\"; containers keep running\n")
	if code != 0 {
		t.Errorf("exit code is %d", code)
	}
}

func TestExecPassesStreamsAndCodeOn(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.exitCode = 7
	d.stdin = "hello"
	d.env = []string{"HOME=/me"}
	stdout, stderr, code := d.runArgs("exec", "-T", "-u", "bob", "-w", "/tmp", "-e", "A=1", "-e", "HOME", "-e", "UNSET", "--index", "2", "web", "cat", "-n")
	if stdout != "hello" || stderr != "started\n" || code != 7 {
		t.Errorf("got %q, %q, %d", stdout, stderr, code)
	}
	want := &api.ProcessStart{
		Project: "shop", Service: "web", Index: 2, Command: []string{"cat", "-n"}, Stdin: true, User: "bob", WorkingDir: "/tmp",
		Environment: []string{"A=1", "HOME=/me"},
	}
	equal(t, "request", d.engine.start.String(), want.String())
}

func TestExecPassesSignalsOn(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.exitCode = 130
	d.engine.reached = make(chan string, 1)
	go func() {
		<-d.engine.reached
		d.signals <- os.Interrupt
	}()
	if _, _, code := d.run("exec -T web sleep 100"); code != 130 {
		t.Errorf("exit code is %d, want 130", code)
	}
	equal(t, "signal", d.engine.stdin.String(), "SIGINT")
}

func TestRunAltersTheService(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.exitCode = 3
	_, stderr, code := d.runArgs("run", "--rm", "-T", "-e", "LOG=debug", "-p", "9000:80", "--volumes", "./x:/x:ro", "--entrypoint", "sh -e", "-u", "1", "--name", "me", "web", "-c", "true")
	if code != 3 {
		t.Fatalf("exit code is %d: %s", code, stderr)
	}
	req := d.engine.create
	p, err := spec.ParseProject(req.Apply.Project)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Services["web"]
	if got := strings.Join(append(append([]string{}, s.Entrypoint...), s.Command...), " "); got != "sh -e -c true" {
		t.Errorf("command is %q", got)
	}
	if *s.Environment["LOG"] != "debug" || s.User != "1" || s.Tty || !s.StdinOpen {
		t.Errorf("service is %+v", s)
	}
	if len(s.Ports) != 1 || s.Ports[0].Target != 80 || s.Ports[0].Published != "9000" {
		t.Errorf("ports are %v", s.Ports)
	}
	if len(s.Volumes) != 1 || s.Volumes[0].Source != filepath.Join(d.dir, "x") || !s.Volumes[0].ReadOnly {
		t.Errorf("volumes are %v", s.Volumes)
	}
	if !req.Remove || req.Detach || req.Name != "me" || req.Service != "web" || d.engine.start.Container != "c1" {
		t.Errorf("request is %v", req)
	}
	if got := d.applied(); got.Prepare != "web" || got.NoDeps || len(got.Services) != 1 {
		t.Errorf("what is prepared is %+v", got)
	}
}

func TestRunDetached(t *testing.T) {
	d := newDesk(t, shop).serve()
	stdout, stderr, code := d.run("run -d --no-deps web")
	if stdout != "shop-web-run-1\n" || code != 0 || !d.engine.create.Detach || !d.applied().NoDeps {
		t.Errorf("got %q, %q, %d", stdout, stderr, code)
	}
}

func TestDetachedRunKeepsItsInputOpen(t *testing.T) {
	for line, want := range map[string]bool{"run -d --no-deps web": true, "run -d -i=false --no-deps web": false} {
		d := newDesk(t, shop).serve()
		if _, stderr, code := d.run(line); code != 0 {
			t.Fatal(stderr)
		}
		p, err := spec.ParseProject(d.engine.create.Apply.Project)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Services["web"].StdinOpen; got != want {
			t.Errorf("%s: input open %t", line, got)
		}
	}
}

func TestLogs(t *testing.T) {
	d := newDesk(t, shop).serve()
	at := then.UnixNano()
	d.engine.lines = []*api.LogLine{
		{Container: "shop-web-1", Service: "web", Number: 1, Text: []byte("a"), TimeUnixNs: at},
		{Container: "shop-db-1", Service: "db", Number: 1, Text: []byte("long "), Partial: true, TimeUnixNs: at},
		{Container: "shop-db-1", Service: "db", Number: 1, Text: []byte("line"), TimeUnixNs: at},
		{Container: "shop-web-run-1", Service: "web", OneOff: true, Text: []byte("b"), Stderr: true, TimeUnixNs: at},
	}
	d.engine.observed.Containers = []planner.Container{{Service: "web", Number: 12}}
	stdout, stderr, code := d.run("logs -n 5 --since 10m --until 1790000000.5 web")
	if code != 0 {
		t.Fatal(stderr)
	}
	equal(t, "output", stdout, "web-1  | a\ndb-1   | long line\nshop-web-run-1 | b\n")
	want := &api.LogsRequest{
		Project: "shop", Services: []string{"web"}, Tail: 5, SinceUnixNs: then.Add(-10 * time.Minute).UnixNano(), UntilUnixNs: 1790000000500000000, Batched: true,
	}
	equal(t, "request", d.engine.logs[0].String(), want.String())
	stdout, _, _ = d.run("--ansi always logs -t --no-log-prefix")
	equal(t, "output", strings.SplitAfter(stdout, "\n")[0], "2026-11-21T12:00:00.000000000Z a\n")
	stdout, _, _ = d.run("--ansi always logs")
	equal(t, "coloured output", strings.SplitAfter(stdout, "\n")[0], "\x1b[36mweb-1  | \x1b[0ma\n")
}

func TestConfig(t *testing.T) {
	d := newDesk(t, shop)
	for line, want := range map[string]string{
		"config --services":    "db\nweb\n",
		"config --images":      "nginx\npostgres\n",
		"config -q":            "",
		"config --services db": "db\n",
	} {
		stdout, stderr, code := d.run(line)
		if code != 0 {
			t.Errorf("%s: %s", line, stderr)
		}
		equal(t, "output of "+line, stdout, want)
	}
	var doc struct{ Name string }
	stdout, _, _ := d.run("config --format json")
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || doc.Name != "shop" {
		t.Errorf("json is %s: %v", stdout, err)
	}
	if stdout, _, _ := d.run("config"); !strings.HasPrefix(stdout, "name: shop\n") {
		t.Errorf("yaml is %s", stdout)
	}
	if stdout, _, _ := d.run("config --hash *"); !strings.HasPrefix(stdout, "db ") || strings.Count(stdout, "\n") != 2 {
		t.Errorf("hashes are %q", stdout)
	}
}

func TestImageLoad(t *testing.T) {
	d := newDesk(t, "").serve()
	d.stdin = strings.Repeat("x", 3<<20)
	stdout, stderr, code := d.run("image load")
	if code != 0 || stdout != "loaded docker.io/library/busybox:latest\n" || d.engine.loaded.String() != d.stdin {
		t.Errorf("got %q, %q, %d, and %d bytes arrived", stdout, stderr, code, d.engine.loaded.Len())
	}
	progress := stderr
	_, stderr, _ = d.run("image load nope.tar")
	equal(t, "error", stderr, "cannot load nope.tar: no such file or directory\n")
	equal(t, "what takes long", progress, "unpacking layer 1 of 2\n")
	if _, stderr, _ = d.run("image load -q"); stderr != "" {
		t.Errorf("quiet, it says %q", stderr)
	}
}

func TestAnImageThatIsRefusedIsNotReadToItsEnd(t *testing.T) {
	d := newDesk(t, "").serve()
	d.engine.refuses = status.Error(codes.ResourceExhausted, "no space left")
	in, _, err := os.Pipe() // nobody writes to it
	if err != nil {
		t.Fatal(err)
	}
	d.in = in
	_, stderr, code := d.run("image load -")
	if equal(t, "error", stderr, "cannot load -: no space left\n"); code == 0 {
		t.Error("it succeeds")
	}
}

func TestEngineStatus(t *testing.T) {
	d := newDesk(t, "")
	d.root = true
	if stdout, _, code := d.run("engine status"); code != 1 || !strings.HasPrefix(stdout, "engine      not running\n") || len(d.started) > 0 {
		t.Errorf("got %q, %d, and %d engines were started", stdout, code, len(d.started))
	}
	d.serve()
	stdout, stderr, code := d.run("engine status")
	if code != 0 {
		t.Fatal(stderr)
	}
	equal(t, "status", stdout, `engine      process 42, v1, up 3 hours, 61.4 MB
keeper      process 41, v1, up 3 days, 9.8 MB
containers  3 running, their shims 24.0 MB
doing       building api for shop
made of     containerd v2.3.7, runc 1.5.2
root        /r
state       /s
`)
	var line map[string]any
	stdout, _, _ = d.run("engine status --format json")
	if err := json.Unmarshal([]byte(stdout), &line); err != nil || line["pid"] != 42.0 || line["running"] != true {
		t.Errorf("json is %s: %v", stdout, err)
	}
}

func TestCompletionOffersServices(t *testing.T) {
	d := newDesk(t, shop)
	stdout, _, _ := d.runArgs("__complete", "logs", "w")
	if !strings.HasPrefix(stdout, "web\n") {
		t.Errorf("completion is %q", stdout)
	}
	if stdout, _, code := d.run("completion bash"); code != 0 || !strings.Contains(stdout, "__start_orlop") {
		t.Errorf("script is %.80q", stdout)
	}
}

func TestCachesGoToTheEngineWithTheirPlaces(t *testing.T) {
	d := newDesk(t, shop).serve()
	for _, verb := range []string{"up -d", "build"} {
		if _, stderr, code := d.run(verb + " --cache-to type=local,dest=out,mode=max --cache-from type=local,src=/in"); code != 0 {
			t.Fatal(stderr)
		}
		want := `{"cache_to":[{"type":"local","attrs":{"dest":"` + d.dir + `/out","mode":"max"}}],"cache_from":[{"type":"local","attrs":{"src":"/in"}}]}`
		equal(t, "build options of "+verb, string(d.engine.apply.BuildOptions), want)
	}
	d.engine.apply = nil
	if _, stderr, code := d.run("up -d --cache-from type=inline"); code != 1 || !strings.Contains(stderr, "--cache-from is ") || d.engine.apply != nil {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestNoProgressHasASecret has builds and probes print one, and every encoder
// write it.
func TestNoProgressHasASecret(t *testing.T) {
	const secret = `p&ss<w"rd`
	for _, line := range []string{
		"up -d", "--progress json up -d", "--progress quiet up -d", "build", "--trace t.json up -d", "plan", "plan --format json",
		"watch --no-up", "--progress json watch --no-up", "--progress quiet watch --no-up",
	} {
		stack := strings.Replace(shop, "image: nginx", "image: nginx\n    secrets: [word]\n"+
			"    develop: {watch: [{path: stack.yaml, action: sync+restart, target: /stack.yaml, initial_sync: true}]}", 1)
		d := newDesk(t, stack+"secrets: {word: {environment: WORD}}\n").serve()
		if strings.Contains(line, "watch") {
			d.engine.reached = make(chan string, 64)
			go d.restartTwice()
		}
		d.env = []string{"WORD=" + secret}
		d.engine.plan = &planner.Plan{Project: "shop", Warnings: []string{"w " + secret}, Steps: []*planner.Step{
			{ID: "build web", Action: planner.Build, Resource: "web", Service: "web", Reasons: []planner.Reason{{Path: "services.web", From: secret, To: secret}, {Text: secret}}},
		}}
		part := planner.Part{Name: "RUN " + secret, Began: then, Ended: then.Add(time.Second), Error: secret}
		for _, kind := range []planner.Outcome{planner.Started, planner.Progressed, planner.Failed} {
			d.engine.events = append(d.engine.events, planner.Event{
				Time: then, Step: "build web", Action: planner.Build, Resource: "web", Service: "web", Kind: kind, Text: "says " + secret, Lines: []string{secret}, Part: &part,
			})
		}
		d.engine.verdict = &api.Verdict{Error: "failed: " + secret}
		stdout, stderr, _ := d.run(line)
		said := stdout + stderr
		if trace, err := os.ReadFile(filepath.Join(d.dir, "t.json")); err == nil {
			said += string(trace)
		}
		if strings.Contains(said, "p&") || strings.Contains(said, `p\u0026`) || !strings.Contains(said, "***") {
			t.Errorf("%s says\n%s", line, said)
		}
	}
}

// restartTwice has a watch restart web for one container and for the next, and
// ends it. What came of the first restart is said by then.
func (d *desk) restartTwice() {
	for i := range 2 {
		web := webContainer(planner.Running, 0)
		web.ID = strconv.Itoa(i)
		d.engine.changes <- changed(web)
		d.await("restart")
	}
	d.signals <- os.Interrupt
}

func TestAWrongValueSaysWhatToWrite(t *testing.T) {
	d := newDesk(t, tested).serve()
	for line, want := range map[string]string{
		"ci --timeout 10":           `--timeout: "10" has no unit, write 10s or 10m`,
		"ci --timeout soon":         `--timeout: "soon" is not a duration, write a number with a unit: 90s, 10m, 24h`,
		"ci --timeout 10m5":         `--timeout: "10m5" is not a duration, write a number with a unit: 90s, 10m, 24h`,
		"gc --older-than 24":        `--older-than: "24" has no unit, write 24s or 24m`,
		"gc --older-than -1h":       "--older-than is -1h0m0s: it must not be negative",
		"up -t 10s":                 `--timeout: "10s" has a unit, write the number alone: 10`,
		"down --timeout 1m":         `--timeout: "1m" has a unit, write the number alone: 60`,
		"up --wait-timeout forever": `--wait-timeout: "forever" is not an integer`,
	} {
		_, stderr, code := d.run(line)
		if verb, _, _ := strings.Cut(line, " "); stderr != want+"\n" || (code == 64) != (verb == "ci") || code == 0 {
			t.Errorf("%s: exit code %d: %s", line, code, stderr)
		}
	}
}
