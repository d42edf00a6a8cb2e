package reconcile

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestALookThatFailedIsRepeated with pauses that grow, a bounded number of times; changes
// meanwhile are looked at, and move nothing.
//
// Fault 44: what others have changed of the networks can't be put right at once, while more is changed
// Seen: it is tried again 8 times within some minutes, each change at once; then with the next change
// Kept: a change does not begin the pauses anew
func TestALookThatFailedIsRepeated(t *testing.T) {
	for name, tt := range map[string]struct {
		heals   int             // the look that succeeds, from 1; 0: none
		changes []time.Duration // since the beginning
		want    []time.Duration
	}{
		"at once":            {1, at(0), at(0)},
		"the third time":     {3, at(0), at(0, 1, 3)},
		"never":              {0, at(0), at(0, 1, 3, 7, 15, 31, 63, 123, 183)},
		"changes in between": {0, at(0, 2, 4), at(0, 1, 2, 3, 4, 7, 15, 31, 63, 123, 183)},
		"one afterwards":     {0, at(0, 400), at(0, 1, 3, 7, 15, 31, 63, 123, 183, 400)},
		"well, then not":     {2, at(0, 10), at(0, 1, 10, 11, 13, 17, 25, 41, 73, 133, 193)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var looks []time.Duration
				l := Loop{Settle: time.Millisecond, Look: func(context.Context) error {
					looks = append(looks, time.Since(began).Truncate(time.Second))
					if len(looks) == tt.heals {
						return nil
					}
					return errors.New("it can't be put right")
				}}
				why := errors.New("too many")
				err := l.Run(t.Context(), func(_ context.Context, tell func()) error {
					for _, when := range tt.changes {
						time.Sleep(when - time.Since(began))
						tell()
					}
					time.Sleep(time.Hour)
					return why
				})
				if !errors.Is(err, why) {
					t.Errorf("it ends with %v", err)
				}
				if !slices.Equal(looks, tt.want) {
					t.Errorf("it was looked at after %v, want %v", looks, tt.want)
				}
			})
		})
	}
}

func at(seconds ...int) (list []time.Duration) {
	for _, s := range seconds {
		list = append(list, time.Duration(s)*time.Second)
	}
	return list
}
