package keeper

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/orlop/orlop/keeper/sctp"
)

// echoSCTP answers messages with a prefix, until its listener is closed.
func echoSCTP(t *testing.T, prefix string) (*sctp.Listener, netip.AddrPort) {
	t.Helper()
	l, err := sctp.Listen(loopback, 0)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for m, err := c.Read(); err == nil; m, err = c.Read() {
					m.Content = append([]byte(prefix), m.Content...)
					if c.Write(m) != nil {
						return
					}
				}
			}()
		}
	}()
	return l, l.Bound()
}

// TestAPortOfSCTP: it is parked, led, led elsewhere for new associations, and refused when
// nothing serves it; a port of TCP of that number is another one.
func TestAPortOfSCTP(t *testing.T) {
	if err := sctp.Check(); err != nil {
		if !errors.Is(err, sctp.ErrMissing) || os.Getenv("ORLOP_SCTP") != "" {
			t.Fatal(err)
		}
		h := InProcess()
		defer h.Release()
		_, err := h.Listen(t.Context(), Port{Key: "a", Proto: SCTP, Addr: loopback})
		if pe, ok := errors.AsType[*PortError](err); !ok || pe.Reason != sctp.ErrMissing.Error() {
			t.Errorf("it says %v", err)
		}
		t.Skip("SKIPPED: " + sctp.ErrMissing.Error())
	}
	onBoth(t, func(t *testing.T, s service) {
		bound, err := s.Listen(t.Context(), Port{Key: "a", Proto: SCTP, Addr: loopback})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Listen(t.Context(), Port{Key: "b", Proto: TCP, Addr: loopback, Port: bound.Port()}); err != nil {
			t.Errorf("the same number of TCP: %v", err)
		}
		if _, err := s.Listen(t.Context(), Port{Key: "c", Proto: SCTP, Addr: loopback, Port: bound.Port()}); err == nil {
			t.Error("a port is published twice")
		}
		one, first := echoSCTP(t, "one ")
		defer one.Close()
		two, second := echoSCTP(t, "two ")
		defer two.Close()
		ask := func(c *sctp.Conn, want string) {
			t.Helper()
			m, err := c.Read()
			if err != nil || string(m.Content) != want || m.Stream != 5 {
				t.Errorf("it says %q on %d, %v, want %q", m.Content, m.Stream, err, want)
			}
		}
		dial := func() *sctp.Conn {
			t.Helper()
			c, err := sctp.Dial(bound, soon)
			if err == nil {
				err = c.Write(sctp.Message{Content: []byte("hello"), Stream: 5})
			}
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		parked := dial() // nothing is led yet
		route := func(r Route) {
			t.Helper()
			if err := s.Route(t.Context(), "a", r); err != nil {
				t.Fatal(err)
			}
		}
		route(Route{Backends: []netip.AddrPort{first}})
		ask(parked, "one hello")
		route(Route{Backends: []netip.AddrPort{second}})
		ask(dial(), "two hello")
		if err := parked.Write(sctp.Message{Content: []byte("again"), Stream: 5}); err != nil {
			t.Error(err)
		}
		ask(parked, "one again")
		states, err := s.Ports(t.Context())
		if err != nil || len(states) != 2 || states[0].Conns != 2 {
			t.Errorf("states are %+v, %v", states, err)
		}
		route(Route{})
		if c, err := sctp.Dial(bound, soon); err == nil {
			if _, err := c.Read(); err == nil {
				t.Error("nothing serves the port, and it answers")
			}
		}
		if err := s.Close(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}
