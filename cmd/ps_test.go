package cmd_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// fleet is a container in every state.
func fleet() []planner.Container {
	ago := func(d time.Duration) time.Time { return then.Add(-d) }
	web := &planner.Applied{
		Service: &spec.Service{
			Name: "web", Image: "nginx", Command: spec.Command{"nginx", "-g", "daemon off;"}, Expose: []string{"80", "9000"},
			Labels: map[string]string{"tier": "front"}, DependsOn: map[string]spec.Dependency{"db": {Condition: "service_healthy", Restart: true}}, Volumes: []spec.Mount{{Type: spec.MountVolume, Source: "data", Target: "/d"}},
		},
		Networks: map[string]string{"default": "shop_default"}, Volumes: map[string]string{"data": "shop_data"}, Image: "sha256:0123456789abcdef",
	}
	return []planner.Container{
		{
			ID: "w1", Name: "shop-web-1", Service: "web", Number: 1, State: planner.Running, Health: planner.Healthy, Applied: web, Exposed: []string{"80/tcp", "443/tcp"}, Version: "v1", WorkingDir: "/s", ConfigFiles: []string{"/s/stack.yaml", "/s/dev.yaml"},
			CreatedAt: ago(4 * time.Minute), StartedAt: ago(3 * time.Minute), Published: []planner.Binding{
				{HostIP: "::", HostPort: 8080, Target: 80, Protocol: "tcp"}, {HostIP: "0.0.0.0", HostPort: 8080, Target: 80, Protocol: "tcp"},
			},
		},
		{ID: "d1", Name: "shop-db-1", Service: "db", Number: 1, State: planner.Exited, ExitCode: 1, CreatedAt: ago(2 * time.Hour), ExitedAt: ago(90 * time.Second)},
		{ID: "d2", Name: "shop-db-2", Service: "db", Number: 2, State: planner.Restarting, ExitCode: 3, CreatedAt: ago(time.Hour), ExitedAt: ago(5 * time.Second), NextTry: then.Add(12 * time.Second)},
		{ID: "r1", Name: "shop-web-run-1", Service: "web", OneOff: true, State: planner.Created, CreatedAt: ago(time.Second)},
	}
}

// TestPsListsByName, whatever services and numbers say: as Compose does.
func TestPsListsByName(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()
	for i, name := range []string{"z", "shop-db-10", "shop-db-2", "a"} {
		d.engine.observed.Containers[i].Name = name
	}
	for line, want := range map[string]string{
		"ps -aq":                     "r1\nd1\nd2\nw1\n",
		"ps -a --services":           "web\ndb\n",
		"ps -a --format {{.Name}}":   "a\nshop-db-10\nshop-db-2\nz\n",
		"ps -q --filter name=shop-d": "d2\n",
	} {
		if stdout, stderr, _ := d.run(line); stdout != want {
			t.Errorf("%s: %q, %s", line, stdout, stderr)
		}
	}
}

func TestPs(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()
	for line, want := range map[string]string{
		"ps": `NAME         IMAGE     COMMAND                  SERVICE   CREATED             STATUS                                                 PORTS
shop-db-2    shop-db   ""                       db        About an hour ago   Restarting (3) 5 seconds ago, next try in 12 seconds   
shop-web-1   nginx     "nginx -g daemon off;"   web       4 minutes ago       Up 3 minutes (healthy)                                 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp, 9000/tcp
`,
		"ps -q":                 "d2\nw1\n",
		"ps -aq":                "d1\nd2\nw1\nr1\n",
		"ps -q web":             "w1\n",
		"ps -a --services":      "db\nweb\n",
		"ps -q --status exited": "d1\n",
		"ps -q --filter status=exited --filter status=restarting":                       "d1\nd2\n",
		"ps -aq --filter name=db":                                                       "d1\nd2\n",
		"ps -q --filter name=db --filter name=web":                                      "d2\nw1\n",
		"ps -q --filter label=tier":                                                     "w1\n",
		"ps -q --filter label=tier=back":                                                "",
		"ps -q --filter label=tier=front --filter label=com.docker.compose.service=web": "w1\n",
		"ps -aq --filter label=com.docker.compose.oneoff=True":                          "r1\n",
		"ps -q --filter status=paused":                                                  "",
		"ps --format {{.Name}}={{.State}}":                                              "shop-db-2=restarting\nshop-web-1=running\n",
		"ps -a -q --status created web":                                                 "r1\n",
		"port web 80":                                                                   "0.0.0.0:8080\n",
		"-p shop images -q --format json":                                               "0123456789abcdef\n",
		"ps -aq --status dead":                                                          "",
		"port --protocol TCP web 80":                                                    "0.0.0.0:8080\n",
		"ps --format json web": `{"Command":"\"nginx -g daemon off;\"","CreatedAt":"2026-11-21 11:56:00 +0000 UTC","ExitCode":0,"Health":"healthy","ID":"w1",` +
			`"Image":"nginx","Labels":"com.docker.compose.config-hash=` + fleet()[0].Applied.Service.Hash("nginx") + `,com.docker.compose.container-number=1,com.docker.compose.depends_on=db:service_healthy:true,com.docker.compose.image=sha256:0123456789abcdef,com.docker.compose.oneoff=False,com.docker.compose.project=shop,com.docker.compose.project.config_files=/s/stack.yaml,/s/dev.yaml,com.docker.compose.project.working_dir=/s,` +
			`com.docker.compose.service=web,com.docker.compose.version=v1,tier=front","LocalVolumes":"1","Mounts":"shop_data","Name":"shop-web-1","Names":"shop-web-1",` +
			`"Networks":"shop_default","Ports":"0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp, 9000/tcp","Project":"shop","Publishers":[` +
			`{"URL":"0.0.0.0","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},{"URL":"::","TargetPort":80,"PublishedPort":8080,"Protocol":"tcp"},` +
			`{"URL":"","TargetPort":443,"PublishedPort":0,"Protocol":"tcp"},{"URL":"","TargetPort":9000,"PublishedPort":0,"Protocol":"tcp"}],` +
			`"RunningFor":"4 minutes ago","Service":"web","Size":"0B","State":"running","Status":"Up 3 minutes (healthy)","Created":1795262160}` + "\n",
	} {
		stdout, stderr, code := d.run(line)
		if code != 0 {
			t.Errorf("%s: %s", line, stderr)
		}
		equal(t, "output of "+line, stdout, want)
	}
}

// counted counts the calls that write to it.
type counted struct {
	bytes.Buffer
	writes int
}

func (c *counted) Write(text []byte) (int, error) {
	c.writes++
	return c.Buffer.Write(text)
}

// TestListsAreWrittenAtOnce: a reader that leaves after the first lines (grep -q) ends nobody who writes the rest.
func TestListsAreWrittenAtOnce(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()
	d.engine.projects = []*api.ProjectInfo{{Name: "shop", Running: 3}, {Name: "blog", Running: 1}}
	for _, line := range []string{
		"ps -a", "ps -aq", "ps -a --services", "ps -a --format json", "ps -a --format {{.Name}}", "ls", "ls -q", "ls --format {{.Name}}",
		"images", "images -q", "images --format {{.Service}}", "config", "config --services", "config --images",
	} {
		var out counted
		if code := d.into(&out, line); code != 0 || out.writes != 1 || bytes.Count(out.Bytes(), []byte("\n")) < 2 && line != "images -q" {
			t.Errorf("%s writes by %d calls:\n%s", line, out.writes, out.String())
		}
	}
}

func TestPsByTemplates(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()
	for format, want := range map[string]string{
		`table {{.Name}}\t{{.Label "tier"}}\t{{.ExitCode}}`: "NAME         TIER    EXIT CODE\nshop-db-2            3\nshop-web-1   front   0\n",
		"{{json .Ports}}": "\"\"\n\"0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 443/tcp, 9000/tcp\"\n",
		"{{upper .Service}}{{range .Publishers}} {{.PublishedPort}}{{end}}":    "DB\nWEB 8080 8080 0 0\n",
		`{{.Name}}\n{{truncate .Image 3}}`:                                     "shop-db-2\nsho\nshop-web-1\nngi\n",
		`{{pad .Service 1 2}}|{{title .State}}|{{join (split .Name "-") "+"}}`: " db  |Restarting|shop+db+2\n web  |Running|shop+web+1\n",
		"{{.Command}}": "\"\"\n\"nginx -g daemon off;\"\n",
	} {
		stdout, stderr, code := d.runArgs("ps", "--format", format)
		if code != 0 {
			t.Errorf("%s: %s", format, stderr)
		}
		equal(t, "output of "+format, stdout, want)
	}
}

func TestAPortThatIsNotPublishedIsRefused(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()
	if _, stderr, code := d.run("port web 99"); code != 1 || stderr != "web publishes no 99/tcp: see \"orlop ps\"\n" {
		t.Errorf("exit code is %d: %s", code, stderr)
	}
}

func TestLs(t *testing.T) {
	d := newDesk(t, "").serve()
	d.engine.projects = []*api.ProjectInfo{
		{Name: "shop", Running: 3, Exited: 3, Created: 1, Restarting: 1, Files: []string{"/s/stack.yaml"}, CreatedUnixMs: then.Add(-3 * time.Hour).UnixMilli(), DiskBytes: 1500}, {Name: "old", Exited: 2},
		{Name: "shop-a", Instance: "a", Running: 1, Files: []string{"/s/stack.yaml", "/s/stack.override.yaml"}, DiskBytes: 2_000_000,
			CreatedUnixMs: then.Add(-72 * time.Hour).UnixMilli(), UsedUnixMs: then.Add(-5 * time.Minute).UnixMilli()},
		{Name: "shop-z", Instance: "z"},
	}
	for line, want := range map[string]string{
		"ls --format json": `[{"Name":"shop","Status":"restarting(1), running(2)","ConfigFiles":"/s/stack.yaml","CreatedAt":"2026-11-21T09:00:00Z","DiskUse":1500},` +
			`{"Name":"shop-a","Status":"running(1)","ConfigFiles":"/s/stack.yaml,/s/stack.override.yaml","Instance":"a",` +
			`"CreatedAt":"2026-11-18T12:00:00Z","UsedAt":"2026-11-21T11:55:00Z","DiskUse":2000000}]` + "\n",
		"ls -a --format {{.Name}}={{.Status}}": "old=exited(2)\nshop=created(1), exited(2), restarting(1), running(2)\nshop-a=running(1)\nshop-z=down\n",
		"ls -aq":                               "old\nshop\nshop-a\nshop-z\n",
		"ls": "NAME     STATUS                      INSTANCE   CREATED       USED            DISK     CONFIG FILES\n" +
			"shop     restarting(1), running(2)   -          3 hours ago   -               1.5 kB   /s/stack.yaml\n" +
			"shop-a   running(1)                  a          3 days ago    5 minutes ago   2.0 MB   /s/stack.yaml,/s/stack.override.yaml\n",
	} {
		stdout, _, _ := d.run(line)
		equal(t, "output of "+line, stdout, want)
	}
}

func TestPlanPrintsWhatUpWouldWalk(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.plan = &planner.Plan{Project: "shop", Leave: 4, Steps: []*planner.Step{
		{ID: "replace web/1", Action: planner.Replace, Resource: "web/1", Service: "web", Reasons: []planner.Reason{
			{Path: "services.web.environment.LOG", From: `"info"`, To: `"debug"`, Place: spec.Place{File: "/s/stack.yaml", Line: 14}},
		}},
	}}
	stdout, _, _ := d.run("plan")
	equal(t, "plan", stdout, " ± web/1        services.web.environment.LOG: \"info\" -> \"debug\"   (stack.yaml:14)\n replace 1, leave 4 as they are\n")
	stdout, _, _ = d.run("--ansi always plan")
	equal(t, "coloured plan", stdout, " \x1b[33m±\x1b[0m web/1        services.web.environment.LOG: \"info\" -> \"debug\"   (stack.yaml:14)\n replace 1, leave 4 as they are\n")
	stdout, _, _ = d.run("plan --format json")
	if want := "{\n  \"project\": \"shop\",\n  \"steps\": [\n"; len(stdout) < len(want) || stdout[:len(want)] != want {
		t.Errorf("json is %s", stdout)
	}
}
