package container

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestPick(t *testing.T) {
	all := []member{
		{Container: planner.Container{ID: "abc123", Name: "web"}}, {Container: planner.Container{ID: "abd456", Name: "abc"}}, {Container: planner.Container{ID: "f00", Name: "db"}},
	}
	for name, want := range map[string]string{"web": "abc123", "abc": "abd456", "abc1": "abc123", "f": "f00", "abd456": "abd456"} {
		if got, err := pick(all, name); err != nil || got.ID != want {
			t.Errorf("pick(%q) = %q, %v, want %q", name, got.ID, err, want)
		}
	}
	for name, want := range map[string]string{"ab": "2 containers", "": "no container", "x": "no container"} {
		if _, err := pick(all, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pick(%q) gives %v, want %q", name, err, want)
		}
	}
}

func TestPruneFilter(t *testing.T) {
	now := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	one := member{Container: planner.Container{
		ID: "abc", CreatedAt: now.Add(-time.Hour), Applied: &planner.Applied{Service: &spec.Service{Labels: map[string]string{"keep": "yes"}}},
	}}
	line := display.ContainerJSON(&one.Container, "p", now)
	for text, want := range map[string]bool{
		"until=30m": true, "until=2h": false, "label=keep": true, "label=keep=no": false, "label!=keep": false, "label!=keep=no": true, "label!=other": true,
	} {
		holds, err := pruneFilter([]string{text}, now)
		if err != nil || holds(&one, &line) != want {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"until", "until=soon", "status=exited"} {
		if _, err := pruneFilter([]string{text}, now); err == nil {
			t.Errorf("%s is no filter and is taken", text)
		}
	}
}

func TestDocument(t *testing.T) {
	one := member{project: "p", Container: planner.Container{
		ID: "0123456789abcdef", Name: "p-web-1", Service: "web", State: planner.Exited, ExitCode: 3, Exposed: []string{"80/tcp"},
		Applied: &planner.Applied{
			Service:  &spec.Service{Restart: "on-failure:2", Volumes: []spec.Mount{{Type: spec.MountVolume, Source: "data", Target: "/data", ReadOnly: true}}},
			Networks: map[string]string{"default": "p_default"}, Volumes: map[string]string{"data": "p_data"},
		},
	}}
	doc, err := documentOf(&one, &api.ContainerDetails{
		RuntimeSpec: []byte(`{"process":{"env":["A=b"],"cwd":"/w"},"hostname":"h"}`), VolumePaths: map[string]string{"p_data": "/v", "nobody": "/n"},
		AnonymousVolumes: map[string]string{"/cache": "nobody"}, Endpoints: []*api.ContainerEndpoint{{Network: "p_default", Address: "10.1.2.3/24", Gateway: "10.1.2.1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	print, err := format.Documents(`{{.Name}} {{.State.Status}} {{.State.ExitCode}} {{json .HostConfig.RestartPolicy}} {{.Id}} {{.Config.WorkingDir}}` +
		`{{range .Mounts}} {{.Name}}={{.Source}}:{{.Destination}}:{{.RW}}{{end}}{{range $n, $e := .NetworkSettings.Networks}} {{$n}} {{$e.IPAddress}}/{{$e.IPPrefixLen}}{{end}}`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := print([]any{doc})
	want := `/p-web-1 exited 3 {"MaximumRetryCount":2,"Name":"on-failure"} 0123456789abcdef /w p_data=/v:/data:false nobody=/n:/cache:true p_default 10.1.2.3/24` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("inspect prints %v\n%s\nwant\n%s", err, got, want)
	}
}

func TestLinks(t *testing.T) {
	for link, want := range map[string]string{
		"db": "", "db:db": "", "db:": "", "shop-db-1:sql": `"orlop network connect --alias sql NETWORK shop-db-1"`,
	} {
		got := ""
		if err := checkLinks([]string{"web", link}); err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", link, got, want)
		}
	}
}
