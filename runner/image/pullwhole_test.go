package image

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// asked is a gate that notes what it is asked.
type asked struct {
	refuses error
	about   []string
}

func (a *asked) Fetch(_ context.Context, of Arrival) (func(context.Context) error, error) {
	a.about = append(a.about, "fetch "+of.Name)
	return func(context.Context) error { return nil }, a.refuses
}

func (a *asked) Use(_ context.Context, name string, digests ...digest.Digest) error {
	a.about = append(a.about, "use "+name+" "+digests[0].String())
	return a.refuses
}

// TestWhatIsHereGetsNoNameThatTheGateDoesNotAdmit: the registry is asked then, which is away here.
func TestWhatIsHereGetsNoNameThatTheGateDoesNotAdmit(t *testing.T) {
	s, ctx := newShelf(t)
	sum := s.addWhole(t, ctx, "other:1", "run")
	name := "127.0.0.1:1/x@" + sum
	s.hosts = func(func(string) (string, string, error)) docker.RegistryHosts {
		return docker.ConfigureDefaultRegistries()
	}
	credentials := func(string) (string, string, error) { return "", "", nil }
	for _, c := range []struct {
		refuses       error
		isOK, isNamed bool
		isChanged     bool
	}{
		{refuses: errors.New("not signed")},
		{isOK: true, isNamed: true, isChanged: true},
		{isOK: true, isNamed: true},                            // by now
		{refuses: errors.New("no more signed"), isNamed: true}, // what was admitted before stays; it is not told to be there
	} {
		gate := &asked{refuses: c.refuses}
		s.Gate = gate
		changed, err := s.PullWhole(ctx, name, credentials, func(int64, int64, string) {})
		if (err == nil) != c.isOK || changed != c.isChanged {
			t.Errorf("refused by %v: it is %v, changed %v", c.refuses, err, changed)
		}
		if want := "use " + name + " " + sum; !slices.Contains(gate.about, want) {
			t.Errorf("refused by %v: the gate was asked for %q, want %q", c.refuses, gate.about, want)
		}
		if _, err := s.images.Get(ctx, name); c.isNamed != (err == nil) || err != nil && !errdefs.IsNotFound(err) {
			t.Errorf("refused by %v: named is %v (%v), want %v", c.refuses, err == nil, err, c.isNamed)
		}
	}
}
