package op

import (
	"testing"
	"time"
)

func TestWhoHasLessPatienceBoundsTheOthers(t *testing.T) {
	var s Hurries
	all := s.Add(&Hurry{Project: "shop", Rest: time.Minute})
	web := s.Add(&Hurry{Project: "shop", Services: []string{"web"}, Rest: time.Second})
	for _, c := range []struct {
		project, service string
		want             time.Duration
	}{{"shop", "web", time.Second}, {"shop", "db", time.Minute}, {"other", "web", time.Hour}} {
		if got := s.Bound(c.project, c.service, time.Hour); got != c.want {
			t.Errorf("%s of %s has %s, want %s", c.service, c.project, got, c.want)
		}
	}
	web()
	if got := s.Bound("shop", "web", time.Second/2); got != time.Second/2 {
		t.Errorf("a shorter period of its own became %s", got)
	}
	all()
	if got := s.Bound("shop", "web", time.Hour); got != time.Hour {
		t.Errorf("with nobody in a hurry it is %s", got)
	}
}
