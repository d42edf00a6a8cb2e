package links

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestATornListIsAskedForAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answers []error
		calls   int
		want    error
	}{
		"whole":          {[]error{nil}, 1, nil},
		"torn twice":     {[]error{netlink.ErrDumpInterrupted, netlink.ErrDumpInterrupted, nil}, 3, nil},
		"another error":  {[]error{errors.ErrUnsupported}, 1, errors.ErrUnsupported},
		"torn each time": {nil, dumpTries, netlink.ErrDumpInterrupted},
	} {
		calls := 0
		_, err := Dump(func() ([]int, error) {
			calls++
			if len(c.answers) == 0 {
				return nil, netlink.ErrDumpInterrupted
			}
			return nil, c.answers[calls-1]
		})
		if calls != c.calls || !errors.Is(err, c.want) {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
	}
}
