package op

import (
	"context"
	"testing"
	"time"
)

func TestAGracePeriodMayBeShortened(t *testing.T) {
	var none *Patience
	none.Shorten(0)
	grace, p := Begin(t.Context(), time.Hour)
	p.Shorten(2 * time.Hour)
	if end := time.Until(p.end); end > time.Hour {
		t.Errorf("it became longer: %s", end)
	}
	p.Shorten(0)
	<-grace.Done()
	p.End()
	p.End()
	p.Shorten(0)
	grace, p = Begin(t.Context(), time.Hour)
	p.End()
	if grace.Err() != context.Canceled {
		t.Error("it goes on though nobody waits")
	}
}
