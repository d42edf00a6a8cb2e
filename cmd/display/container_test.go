package display

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestTheStateOfAContainerInAFewWords(t *testing.T) {
	ago := func(d time.Duration) time.Time { return began.Add(-d) }
	for want, c := range map[string]planner.Container{
		"Created":                                 {State: planner.Created},
		"Up 3 minutes":                            {State: planner.Running, StartedAt: ago(3 * time.Minute)},
		"Up About an hour (healthy)":              {State: planner.Running, StartedAt: ago(70 * time.Minute), Health: planner.Healthy},
		"Up 1 second (health: starting)":          {State: planner.Running, StartedAt: ago(time.Second), Health: planner.Starting},
		"Up 5 seconds (stopping)":                 {State: planner.Stopping, StartedAt: ago(5 * time.Second), Health: planner.Healthy},
		"Up 5 seconds (Paused)":                   {State: planner.Running, Paused: true, StartedAt: ago(5 * time.Second), Health: planner.Healthy},
		"Exited (137) 2 hours ago, out of memory": {State: planner.Exited, ExitCode: 137, OOMKilled: true, ExitedAt: ago(2 * time.Hour)},
		"Restarting (1) Less than a second ago, next try in 4 seconds": {State: planner.Restarting, ExitCode: 1, ExitedAt: began, NextTry: began.Add(4 * time.Second)},
	} {
		if got := statusText(&c, began); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSpansAreSaidAsDockerDoes(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "Less than a second", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "About a minute", 59 * time.Minute: "59 minutes",
		time.Hour: "About an hour", 47 * time.Hour: "47 hours", 3 * day: "3 days", 15 * day: "2 weeks", 100 * day: "3 months", 800 * day: "2 years",
	} {
		if got := Span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	if got := Ago(began, time.Time{}); got != "never" {
		t.Errorf("no time is %q", got)
	}
}

func TestPortsAreThosePublishedAndThenTheExposed(t *testing.T) {
	c := planner.Container{
		State: planner.Running, Exposed: []string{"443", "80/tcp", "53/udp"},
		Applied: &planner.Applied{Service: &spec.Service{Expose: []string{"9000", "443"}}},
		Published: []planner.Binding{
			{HostIP: "::", HostPort: 8080, Target: 80, Protocol: "tcp"}, {HostIP: "0.0.0.0", HostPort: 8080, Target: 80, Protocol: "tcp"},
		},
	}
	if got, want := portsText(&c), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 53/udp, 443/tcp, 9000/tcp"; got != want {
		t.Errorf("ports are %q, want %q", got, want)
	}
	c.State = planner.Exited
	if got := exposed(&c); got != nil {
		t.Errorf("one that has ended exposes %q", got)
	}
}

func TestALineOfJSONHasComposesFields(t *testing.T) {
	c := planner.Container{
		ID: "1", Name: "shop-web-1", Service: "web", Number: 1, State: planner.Stopping, CreatedAt: began.Add(-time.Minute), StartedAt: began.Add(-time.Minute), Version: "v1",
		Applied: &planner.Applied{
			Service: &spec.Service{
				Name: "web", Command: spec.Command{"serve", "-v"}, Labels: map[string]string{"tier": "front"},
				Volumes: []spec.Mount{{Type: spec.MountVolume, Source: "data", Target: "/d"}, {Type: "bind", Source: "/src", Target: "/s"}},
			},
			Networks: map[string]string{"default": "shop_default", "back": "shop_back"}, Volumes: map[string]string{"data": "shop_data"},
		},
	}
	l := ContainerJSON(&c, "shop", began)
	if l.Command != `"serve -v"` || l.Image != "shop-web" || l.State != "running" || l.Networks != "shop_back,shop_default" || l.Mounts != "shop_data,/src" || l.LocalVolumes != "1" {
		t.Errorf("the line is %+v", l)
	}
	for _, label := range []string{"com.docker.compose.project=shop", "com.docker.compose.oneoff=False", "com.docker.compose.version=v1", "tier=front"} {
		if !strings.Contains(","+l.Labels+",", ","+label+",") {
			t.Errorf("the labels lack %s: %s", label, l.Labels)
		}
	}
	c.Applied = nil
	if l := ContainerJSON(&c, "shop", began); l.Command != `""` || l.Mounts != "" {
		t.Errorf("of one that nothing is known of: %+v", l)
	}
}

func TestCommandsAreCutInTheTableOnly(t *testing.T) {
	c := planner.Container{Name: "shop-web-1", Service: "web", State: planner.Created, Command: []string{"a", "rather", "long", "command", "line"}, Applied: &planner.Applied{Service: &spec.Service{}}}
	for whole, want := range map[bool]string{false: `"a rather long comma…"`, true: `"a rather long command line"`} {
		var out bytes.Buffer
		if err := ContainerTable(&out, []Container{ContainerJSON(&c, "shop", began)}, whole); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("whole %t: %v\n%s", whole, err, out.String())
		}
	}
}

func TestWhatLastedHowLong(t *testing.T) {
	for d, want := range map[time.Duration]string{10 * time.Microsecond: "1 ms", 9400 * time.Microsecond: "9 ms", 1200 * time.Millisecond: "1.2 s"} {
		if got := Took(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{999: "999 B", 1500: "1.5 kB", 41_000_000: "41.0 MB", 812_000_000: "812 MB", 5_000_000_000_000_000: "5000 TB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestWhatAProgramPrintsSteersNoTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                                  "plain",
		"\x1b[31mred\x1b[0m":                     "red",
		"\x1b]0;a title\x07after":                "after",
		"\x1b]8;;http://x\x1b\\link":             "link",
		"a\tb\rc":                                "a b c",
		"user\u202etxt.exe":                      `user\u202etxt.exe`,
		"\u2066a\u2069 z\u200bero\ufeff w\u2028": `\u2066a\u2069 z\u200bero\ufeff w\u2028`,
		"soft\u00adhyphen, t\U000e0041g":         `soft\u00adhyphen, t\U000e0041g`,
		"日本語 héllo ✓":                            "日本語 héllo ✓",
		"\x1b[2J\x1b[1;1Hgone\x1bM and back":     "gone and back",
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
