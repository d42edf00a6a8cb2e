package cmd_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
)

// full is a file on a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: errors.New("no space left on device")}
}

func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()
	d.engine.lines = []*api.LogLine{{Service: "web", ContainerId: "w1", Number: 1, Text: []byte("one"), TimeUnixNs: 1}}
	for _, line := range []string{"logs", "logs -f", "ps", "config --services", "version"} {
		var errs strings.Builder
		if code := d.runTo(full{}, &errs, strings.Fields(line)); code != 1 || errs.String() != "cannot write what is printed: no space left on device\n" {
			t.Errorf("%s: exit code %d, %s", line, code, errs.String())
		}
	}
}
