package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// invoked is an invocation with a directory and an environment, and what it
// prints on stderr.
func invoked(t *testing.T, change func(*Settings)) (*Invocation, *bytes.Buffer) {
	t.Helper()
	var errs bytes.Buffer
	s := NewSettings(World{Dir: t.TempDir(), Now: func() time.Time { return now }, Stdin: strings.NewReader("")})
	if change != nil {
		change(&s)
	}
	return New(s, display.NewOutput(io.Discard, &errs)), &errs
}

// lender is a Builder that remembers what it is asked.
type lender struct {
	checkError error
	built      []string   // services
	connected  [][]string // services of each connection
	closed     int
}

func (l *lender) Check(*spec.Project, []string) error { return l.checkError }

func (l *lender) Inputs(_ context.Context, _ *spec.Project, o BuildOptions) (map[string]*planner.Inputs, error) {
	l.built = o.Services
	return nil, nil
}

func (l *lender) Open(context.Context, *spec.Project, BuildOptions) (BuildSession, error) {
	return l, nil
}

func (l *lender) IDs() map[string]string { return map[string]string{"": "s1"} }
func (l *lender) Close()                 { l.closed++ }

func (l *lender) Connect(_ *grpc.ClientConn, services ...string) error {
	l.connected = append(l.connected, services)
	return nil
}

func buildable() *spec.Project {
	return &spec.Project{Name: "shop", Services: map[string]*spec.Service{
		"base": {Name: "base", Build: &spec.Build{Context: "."}},
		"api":  {Name: "api", Build: &spec.Build{Context: ".", AdditionalContexts: map[string]string{"b": "service:base"}}},
		"job":  {Name: "job", Image: "shop-api"},
		"db":   {Name: "db", Image: "postgres"},
	}}
}

func TestWhichBuildsAServiceNeeds(t *testing.T) {
	for names, want := range map[string]string{"db": "", "base": "base", "api": "api base", "job": "api base", "api db": "api base", "": "api base"} {
		whole := buildable()
		chosen, err := whole.Select(strings.Fields(names), true)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Builders(whole, chosen), " "); got != want {
			t.Errorf("%q needs the builds of %q, want %q", names, got, want)
		}
	}
}

func TestARequestLendsItsOwnSession(t *testing.T) {
	client, err := api.Dial(t.Context(), serve(t, &api.UnimplementedEngineServer{}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, _ = client.Status(t.Context(), &api.StatusRequest{}) // the connection stands
	l := &lender{}
	inv, _ := invoked(t, func(s *Settings) { s.Builder, s.Parallel = l, 3 })
	r, err := inv.Request(t.Context(), client, Application{Project: buildable(), Timeout: 7})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.built, []string{"api", "base"}) || r.Message.Sessions[""] != "s1" || r.Message.StopTimeoutMs != 7000 || !strings.Contains(string(r.Message.Options), `"limit":3`) {
		t.Errorf("fingerprinted are %q, the request is %v", l.built, r.Message)
	}
	plan := &planner.Plan{Steps: []*planner.Step{
		{Action: planner.Build, Service: "api"}, {Action: planner.Pull, Service: "db"}, {Action: planner.Create, Service: "db"},
	}}
	if err := r.Lend(plan); err != nil || len(l.connected) != 2 || l.connected[0][0] != "api" || l.connected[1][0] != "" {
		t.Errorf("connected are %q, %v", l.connected, err)
	}
	r.Close()
	if l.closed != 1 {
		t.Errorf("closed %d times", l.closed)
	}
	for name, p := range map[string]Application{
		"a plan":                  {Project: buildable(), PlanOnly: true},
		"one that builds nothing": {Project: buildable(), PlanOnly: true, Options: planner.Options{NoBuild: true}},
	} {
		l.built = nil
		r, err := inv.Request(t.Context(), client, p)
		if err != nil || r.Lend(plan) != nil || len(l.connected) != 2 || (len(l.built) == 0) != p.Options.NoBuild {
			t.Errorf("%s: %v, connected %d, fingerprinted %q", name, err, len(l.connected), l.built)
		}
		r.Close()
	}
	l.checkError = &spec.Mistakes{Diagnostics: spec.Diagnostics{{Severity: spec.Error, Message: "no Dockerfile"}}}
	if _, err := inv.Request(t.Context(), client, Application{Project: buildable()}); !errors.As(err, new(Exit)) {
		t.Errorf("a build that lacks its Dockerfile: %v", err)
	}
}

func TestScaleChangesACopyOfTheService(t *testing.T) {
	two := 2
	for name, test := range map[string]struct {
		flag string
		want string // of the error
	}{
		"more":          {"web=3", ""},
		"none":          {"web=0", ""},
		"no number":     {"web=many", `--scale is "web=many": it must be SERVICE=N`},
		"negative":      {"web=-1", `--scale is "web=-1": it must be SERVICE=N`},
		"no such":       {"wbe=2", `--scale wbe=2: no service named "wbe" (did you mean "web"?)`},
		"only one name": {"one=2", `--scale one=2: replicas cannot share one container_name ()`},
	} {
		web := &spec.Service{Name: "web", Deploy: &spec.Deploy{Replicas: &two}}
		p := &spec.Project{Services: map[string]*spec.Service{"web": web, "one": {Name: "one", ContainerName: "fixed"}}}
		err := Rescale(p, []string{test.flag})
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || err.Error() != test.want):
			t.Errorf("%s: %v, want %q", name, err, test.want)
		case web.Replicas() != 2:
			t.Errorf("%s: the service itself has %d replicas", name, web.Replicas())
		case test.flag == "web=3" && p.Services["web"].Replicas() != 3:
			t.Errorf("%s: %d replicas", name, p.Services["web"].Replicas())
		}
	}
}

func TestVariablesWithoutAValueAreTheCallers(t *testing.T) {
	got := FillEnvironment([]string{"A=1", "HOME", "UNSET", "EMPTY="}, map[string]string{"HOME": "/me", "A": "2"})
	if want := []string{"A=1", "HOME=/me", "EMPTY="}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTheDisplayThatFits(t *testing.T) {
	for name, test := range map[string]struct {
		progress, mode string
		silent         bool
	}{
		"as asked": {"json", "json", true}, "quiet": {"quiet", "quiet", true}, "a pipe": {"auto", "plain", false}, "a tree all the same": {"tty", "tty", false},
	} {
		inv, _ := invoked(t, func(s *Settings) { s.Progress = test.progress })
		if inv.DisplayMode() != test.mode || inv.IsSilent() != test.silent {
			t.Errorf("%s: %s, silent %t", name, inv.DisplayMode(), inv.IsSilent())
		}
	}
	for ansi, want := range map[string]bool{"always": true, "never": false, "auto": false} {
		inv, _ := invoked(t, func(s *Settings) { s.ANSI = ansi })
		if got := inv.ErrStyle().Color; got != want {
			t.Errorf("--ansi %s paints a pipe: %t", ansi, got)
		}
	}
}

func TestOnlyAYesIsAYes(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "n\n": false, "\n": false, "": false, "maybe y\n": false} {
		inv, errs := invoked(t, func(s *Settings) { s.Stdin = strings.NewReader(answer) })
		if got, err := inv.Confirm(t.Context(), "Remove it?"); err != nil || got != want || errs.String() != "Remove it? [y/N] " {
			t.Errorf("%q is taken for %t, asked was %q", answer, got, errs)
		}
	}
}

// TestAnAnswerMayComeByAPipe: of a script; where nobody answers, nothing is removed.
func TestAnAnswerMayComeByAPipe(t *testing.T) {
	for answer, want := range map[string]string{"y\n": "", "n\n": "nothing was removed", "": "nothing was removed: say --force where nobody can be asked"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString(answer); err != nil {
			t.Fatal(err)
		}
		w.Close()
		inv, errs := invoked(t, func(s *Settings) { s.Stdin = r })
		got := ""
		if err := inv.MayRemove(t.Context(), "Remove it?"); err != nil {
			got = err.Error()
		}
		if got != want || errs.String() != "Remove it? [y/N] \n" {
			t.Errorf("%q: %q, asked was %q", answer, got, errs)
		}
		r.Close()
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	inv, errs := invoked(t, func(s *Settings) { s.Stdin = null })
	if err := inv.MayRemove(t.Context(), "Remove it?"); err == nil || errs.String() != "" {
		t.Errorf("without anybody: %v, asked was %q", err, errs)
	}
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	s := NewSettings(World{Environ: []string{"ORLOP_STATE=/s", "A=b=c", "broken"}, Now: time.Now})
	if s.Socket() != "/s/orlop.sock" || s.RootDir() != "/var/lib/orlop" || s.Env["A"] != "b=c" || len(s.Env) != 2 {
		t.Errorf("%+v", s.Env)
	}
	s.Files, s.Env["ORLOP_INSTANCE"] = []string{"sub/stack.yaml"}, "x"
	if name, err := s.InstanceOf(); name != "x" || err != nil {
		t.Errorf("the instance is %q, %v", name, err)
	}
	s.Instance = "auto"
	s.Directory = t.TempDir()
	if _, err := s.InstanceOf(); err == nil || !strings.Contains(err.Error(), "is in no git work tree") {
		t.Errorf("outside of a work tree: %v", err)
	}
}

func TestTheKeeperIsBesideTheCommandOrInLibexec(t *testing.T) {
	dir := t.TempDir()
	self := filepath.Join(dir, "bin", "orlop")
	libexec := filepath.Join(dir, "libexec", "orlop", "orlopd")
	put := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(self)
	if _, err := FindKeeper(self); err == nil || !strings.Contains(err.Error(), "install Orlop whole") {
		t.Errorf("without one: %v", err)
	}
	put(libexec)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	if got, err := FindKeeper(link); got != libexec || err != nil {
		t.Errorf("by a link: %s, %v", got, err)
	}
	put(filepath.Join(dir, "bin", "orlopd"))
	if got, err := FindKeeper(self); got != filepath.Join(dir, "bin", "orlopd") || err != nil {
		t.Errorf("beside it: %s, %v", got, err)
	}
}

// TestAQuestionIsInterrupted: also one that a pipe is to answer into which nobody writes.
func TestAQuestionIsInterrupted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	signals := make(chan os.Signal, 1)
	signals <- os.Interrupt
	inv, _ := invoked(t, func(s *Settings) { s.Stdin, s.Signals = r, signals })
	if err := inv.MayRemove(t.Context(), "Remove it?"); !errors.Is(err, ErrInterrupted) {
		t.Errorf("the error is %v", err)
	}
}
