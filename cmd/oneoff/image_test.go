package oneoff

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// What is wrong with its flags has the code of docker create; nothing is asked of an engine.
func TestACreateThatIsNotUnderstood(t *testing.T) {
	for name, o := range map[string]Image{
		"a port":        {Options: Options{Publish: []string{"x"}}},
		"a pull policy": {Options: Options{Pull: "sometimes"}},
		"a combination": {Options: Options{Remove: true}, Restart: "always"},
	} {
		o.CreateOnly, o.StopTimeout = true, -1
		inv := cli.New(cli.NewSettings(cli.World{Dir: t.TempDir(), Now: time.Now}), display.NewOutput(io.Discard, io.Discard))
		err := RunImage(t.Context(), inv, "busybox", nil, o)
		if code, ok := errors.AsType[cli.Coded](err); !ok || code.Code != ExitNotRun {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExitCodesOfARunAreThoseOfDocker(t *testing.T) {
	lost := errors.New("the engine is lost")
	for _, test := range []struct {
		name   string
		err    error
		isMade bool
		want   int // 0: none of its own
	}{
		{"none", nil, true, 0},
		{"of the process", cli.Exit{Code: 3}, true, 3},
		{"of the process, as the engine's would be", cli.Exit{Code: 1}, true, 1},
		{"of a step before, which is told by then", cli.Exit{Code: 1}, false, 125},
		{"of the engine", lost, false, 125},
		{"of the engine, later", lost, true, 125},
		{"of a program that is not there", fmt.Errorf("run: %w", cli.Coded{Err: lost, Code: 127}), false, 127},
		{"interrupted", fmt.Errorf("run: %w", cli.ErrInterrupted), false, 0},
	} {
		got, code := withCode(test.err, test.isMade), 0
		var of cli.Exit
		var with cli.Coded
		switch {
		case errors.As(got, &of):
			code = of.Code
		case errors.As(got, &with):
			code = with.Code
		}
		if code != test.want || !errors.Is(got, test.err) && !errors.As(test.err, &of) {
			t.Errorf("%s: %v has exit code %d, want %d", test.name, got, code, test.want)
		}
	}
}
