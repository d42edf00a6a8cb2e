package builder

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestASessionThatWasCutIsConnectedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		keepConnected(ctx, func() error {
			if runs++; runs == 3 { // it was cut twice, and ends with the build
				cancel()
			}
			return nil
		})
		if runs != 3 {
			t.Errorf("it ran %d times, want 3", runs)
		}
		runs = 0
		keepConnected(t.Context(), func() error { runs++; return errors.New("no engine") })
		if runs != 1 {
			t.Errorf("without an engine it ran %d times, want 1", runs)
		}
		runs = 0
		keepConnected(t.Context(), func() error { runs++; return nil })
		if runs != mostReconnections {
			t.Errorf("cut again and again it ran %d times, want %d", runs, mostReconnections)
		}
	})
}
