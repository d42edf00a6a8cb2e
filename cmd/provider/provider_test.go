package provider

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/spec"
)

// program writes a script into a directory that is the PATH, and gives a call of it.
func program(t *testing.T, name, script string) *Call {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Call{
		World:   World{Dir: dir, Env: map[string]string{"PATH": dir + ":" + os.Getenv("PATH")}},
		Project: "shop", Service: "db", Type: name, Options: map[string][]string{"size": {"1", "2"}, "type": {"x"}},
		Config: func() ([]byte, error) { return []byte(`{"image":"busybox"}`), nil },
		Say:    func(string) {}, Debug: func(string) {},
	}
}

func TestAProviderGetsItsOptionsAndGivesVariables(t *testing.T) {
	c := program(t, "cloud", `
[ "$2" = metadata ] && exit 1
printf '%s\n' '{"type":"info","message":"first line\nsecond"}'
echo '{"type":"debug","message":"of no interest"}'
echo '{"type":"setenv","message":"ARGS='"$*"'"}'
echo '{"type":"rawsetenv","message":"KNOWS='"$COMPOSE_PROVIDER_MESSAGES"'"}'
echo '{"type":"get-service-config"}'
read -r line
echo '{"type":"setenv","message":"IMAGE='$(echo "$line" | cut -d'"' -f4)'"}'`)
	var said, debug []string
	c.Say, c.Debug = func(s string) { said = append(said, s) }, func(s string) { debug = append(debug, s) }
	vars, err := c.Run(t.Context(), Up)
	want := Variables{
		"DB_ARGS": "compose --project-name=shop up --size=1 --size=2 --type=x db", "DB_IMAGE": "busybox",
		"KNOWS": "error,info,setenv,rawsetenv,debug,get-service-config,get-image",
	}
	if err != nil || !maps.Equal(vars, want) {
		t.Errorf("%v, %v", vars, err)
	}
	if strings.Join(said, "|") != "first line" || strings.Join(debug, "|") != "of no interest" {
		t.Errorf("said %q, debug %q", said, debug)
	}
	if _, err := c.Run(t.Context(), Stop); !errors.Is(err, ErrNoStop) {
		t.Errorf("stop of one that says nothing of it: %v", err)
	}
}

func TestWhatAProviderSaysOfItsOptionsHolds(t *testing.T) {
	c := program(t, "cloud", `
if [ "$2" = metadata ]; then
	echo '{"up":{"parameters":[{"name":"size","required":true}]},"stop":{"parameters":[]}}'
	exit
fi
echo '{"type":"setenv","message":"ARGS='"$*"'"}'`)
	for verb, want := range map[string]string{
		Up: "compose --project-name=shop up --size=1 --size=2 db", Stop: "compose --project-name=shop stop db", Down: "compose --project-name=shop down db",
	} {
		if vars, err := c.Run(t.Context(), verb); err != nil || vars["DB_ARGS"] != want {
			t.Errorf("%s: %v, %v", verb, vars, err)
		}
	}
	c.Options = nil
	if _, err := c.Run(t.Context(), Up); err == nil || err.Error() != `cloud: option "size" must be given under provider.options` {
		t.Errorf("without it: %v", err)
	}
}

// TestAProviderTakesAnImage: it is told of what is here, and given it in chunks where it asks.
func TestAProviderTakesAnImage(t *testing.T) {
	c := program(t, "cloud", `
if [ "$2" = metadata ]; then
	echo '{"pull":{"parameters":[{"name":"image"}]}}'
	exit
fi
echo '{"type":"setenv","message":"ARGS='"$*"'"}'
echo '{"type":"get-image","message":"shop-db","platform":"linux/arm64"}'
read -r line
case $line in *error*) echo '{"type":"error","message":'"$line"'}' | sed 's/:{.*error":/:/; s/}}/}/'; exit;; esac
cr=$(printf '\r')
read -r size; read -r body; read -r end
echo '{"type":"setenv","message":"GOT='"${size%$cr} ${body%$cr} ${end%$cr}"'"}'`)
	c.Options = nil
	c.Image = &Image{Name: "shop-db", Digest: "sha256:1", Created: "now", IsLocal: true, Save: func(_ context.Context, name, platform string, out io.Writer) error {
		_, err := io.WriteString(out, name+" of "+platform)
		return err
	}}
	vars, err := c.Run(t.Context(), Pull)
	want := Variables{"DB_ARGS": "compose --project-name=shop pull --image=shop-db --source=local --policy=missing --digest=sha256:1 --created=now db", "DB_GOT": "16 shop-db of linux/arm64 0"}
	if err != nil || !maps.Equal(vars, want) {
		t.Errorf("%v, %v", vars, err)
	}
	if knows, err := c.Knows(t.Context(), Pull); !knows || err != nil {
		t.Errorf("it says that it knows pull: %t, %v", knows, err)
	}
	if knows, err := c.Knows(t.Context(), Stop); knows || err != nil {
		t.Errorf("it knows no stop: %t, %v", knows, err)
	}
	c.Image.Save = func(context.Context, string, string, io.Writer) error { return errors.New("no such image") }
	if _, err := c.Run(t.Context(), Pull); err == nil || err.Error() != "cloud: no such image" {
		t.Errorf("of an image that is not here: %v", err)
	}
	c.Image.Save = func(_ context.Context, _, _ string, out io.Writer) error {
		_, _ = io.WriteString(out, "half")
		return errors.New("gone")
	}
	if vars, err := c.Run(t.Context(), Pull); err == nil && vars["DB_GOT"] == "4 half 0" {
		t.Errorf("half of an image passes for a whole one: %v", vars)
	}
	c.Image = nil
	if _, err := c.Run(t.Context(), Up); err == nil || err.Error() != "cloud: it asks for an image, which it may do in its pull alone" {
		t.Errorf("in an up: %v", err)
	}
}

func TestAProviderThatFailsSaysWhy(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"error", `echo '{"type":"error","message":"no such region"}'; sleep 60`, "cloud: no such region"},
		{"code", `echo the disk is full >&2; exit 3`, "cloud: exit status 3: the disk is full"},
		{"unknown", `echo '{"type":"dance","message":""}'; sleep 60`, `cloud: it needs "dance", which is not supported`},
		{"no JSON", `echo hello`, "cloud: it must write lines of JSON"},
		{"no assignment", `echo '{"type":"setenv","message":"hello"}'`, `cloud: setenv "hello" is not NAME=VALUE`},
	} {
		if _, err := program(t, "cloud", `[ "$2" = metadata ] && exit 1`+"\n"+c.script).Run(t.Context(), Up); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	c := program(t, "cloud", "")
	for name, want := range map[string]string{"compose": "compose is no provider", "./x": "is a path", "nosuch": "there is no program nosuch in PATH"} {
		c.Type = name
		if _, err := c.Run(t.Context(), Up); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnInterruptEndsAProvider(t *testing.T) {
	c := program(t, "cloud", `[ "$2" = metadata ] && exit 1
echo '{"type":"info","message":"begun"}'
exec sleep 60`)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	c.Say = func(string) { cancel(interrupted) }
	began := time.Now()
	if _, err := c.Run(ctx, Up); !errors.Is(err, interrupted) || time.Since(began) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestAPluginOfDockersCommandIsAProvider(t *testing.T) {
	c := program(t, "docker-cloud", `[ "$2" = metadata ] && exit 1
echo '{"type":"setenv","message":"IS=plugin"}'`)
	if err := os.MkdirAll(c.Dir+"/.docker/cli-plugins", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.Dir+"/docker-cloud", c.Dir+"/.docker/cli-plugins/docker-cloud"); err != nil {
		t.Fatal(err)
	}
	c.Type, c.Env["HOME"] = "cloud", c.Dir
	if vars, err := c.Run(t.Context(), Up); err != nil || vars["DB_IS"] != "plugin" {
		t.Errorf("%v, %v", vars, err)
	}
}

func TestModelsArePulledAndConfigured(t *testing.T) {
	c := program(t, "docker-model", `
case $1 in
status) echo '{"endpoint":"http://m/v1"}' ;;
ls) echo '[{"tags":["ai/here"]}]' ;;
*) echo "$*" >>notes ;;
esac`)
	m, err := OpenModels(t.Context(), c.World, func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range []*spec.Model{{Model: "ai/here"}, {Model: "ai/new", ContextSize: 4096, RuntimeFlags: []string{"--a", "b"}}} {
		if err := m.Prepare(t.Context(), model); err != nil {
			t.Fatal(err)
		}
	}
	notes, err := os.ReadFile(c.Dir + "/notes")
	if want := "configure ai/here\npull ai/new\nconfigure --context-size 4096 ai/new -- --a b\n"; err != nil || string(notes) != want {
		t.Errorf("%q, %v", notes, err)
	}
	if vars := m.Variables("my-llm", &spec.Model{Model: "ai/new"}, nil); !maps.Equal(vars, Variables{"MY_LLM_URL": "http://m/v1", "MY_LLM_MODEL": "ai/new"}) {
		t.Errorf("%v", vars)
	}
	if vars := m.Variables("llm", &spec.Model{Model: "x"}, &spec.ServiceModel{EndpointVariable: "E", ModelVariable: "M"}); !maps.Equal(vars, Variables{"E": "http://m/v1", "M": "x"}) {
		t.Errorf("%v", vars)
	}
	c.Env["PATH"] = "/nowhere"
	if _, err := OpenModels(t.Context(), c.World, nil); err == nil || !strings.Contains(err.Error(), "docker-model") {
		t.Errorf("without the program: %v", err)
	}
}
