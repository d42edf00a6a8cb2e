package cmd_test

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd"
)

func TestSignalsThatRepeatAWishCountOnce(t *testing.T) {
	const term, hup = syscall.SIGTERM, syscall.SIGHUP
	type sent struct {
		after time.Duration
		s     os.Signal
	}
	for name, c := range map[string]struct {
		sent []sent
		want []os.Signal
	}{
		"twice at once":                {[]sent{{0, term}, {50 * time.Microsecond, term}}, []os.Signal{term}},
		"thrice, each soon":            {[]sent{{0, hup}, {200 * time.Millisecond, hup}, {200 * time.Millisecond, hup}}, []os.Signal{hup}},
		"again a second later":         {[]sent{{0, term}, {time.Second, term}}, []os.Signal{term, term}},
		"two kinds":                    {[]sent{{0, term}, {0, os.Interrupt}}, []os.Signal{term, os.Interrupt}},
		"Ctrl-C pressed fast":          {[]sent{{0, os.Interrupt}, {90 * time.Millisecond, os.Interrupt}}, []os.Signal{os.Interrupt, os.Interrupt}},
		"SIGINT to program and group":  {[]sent{{0, os.Interrupt}, {80 * time.Microsecond, os.Interrupt}}, []os.Signal{os.Interrupt}},
		"between others, still repeat": {[]sent{{0, term}, {0, hup}, {0, term}}, []os.Signal{term, hup}},
	} {
		in := make(chan os.Signal, len(c.sent))
		times := make(chan time.Time, len(c.sent))
		at := then
		for _, s := range c.sent {
			at = at.Add(s.after)
			times <- at
			in <- s.s
		}
		close(in)
		var got []os.Signal
		for s := range cmd.WithoutRepeats(in, func() time.Time { return <-times }) {
			got = append(got, s)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v count, want %v", name, got, c.want)
		}
	}
}
