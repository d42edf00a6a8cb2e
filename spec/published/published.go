// Package published finds ports of the machine that a stack wants twice, by its file
// alone. What is free on the machine is not its business.
package published

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// TwiceError is a port of the machine that two containers of a stack publish, or one
// twice: the second would not start.
type TwiceError struct {
	Service string
	Port    string // with its protocol
	Path    string // of the entry
	Place   spec.Place
	Other   string     // the service that has it already; Service where there are replicas
	At      spec.Place // there
	Count   int        // of replicas that would share it, where one entry is all there is
	Ports   int        // of the range of which each of them is to have one; 0: it is one port
}

func (e *TwiceError) Error() string {
	if e.Place.File == "" {
		return e.Path + ": " + e.Text()
	}
	return e.Place.String() + ": " + e.Path + ": " + e.Text()
}

// Text is the error without the place of the entry.
func (e *TwiceError) Text() string {
	if e.Ports > 0 {
		return fmt.Sprintf("%d replicas cannot share the %d ports %s of this machine: publish a range of %[1]d, or leave the published port away for any free one", e.Count, e.Ports, e.Port)
	}
	if e.Count > 1 {
		return fmt.Sprintf("%d replicas cannot share port %s of this machine: publish a range such as \"8000-8010:80\", or leave the published port away for any free one", e.Count, e.Port)
	}
	who := "service " + e.Other + " publishes it"
	if e.Other == e.Service {
		who = "the service publishes it twice"
	}
	if e.At.File != "" {
		who += " (" + e.At.String() + ")"
	}
	return fmt.Sprintf("port %s of this machine is taken: %s; publish another one here", e.Port, who)
}

// entry is one of ports that wants one port of the machine.
type entry struct {
	service string
	index   int // of the entry
	port    socket
	address netip.Addr // invalid: all of the machine's
}

// socket is a port of the machine, at whatever address.
type socket struct {
	number   int
	protocol string
}

func (p socket) String() string { return strconv.Itoa(p.number) + "/" + p.protocol }

func (u entry) path() string { return fmt.Sprintf("services.%s.ports[%d]", u.service, u.index) }

// Twice are the ports of the machine that services want twice, as far as the file
// says which: one of a range that is long enough, and any free one, is found when it is published. A service
// that waits for the end of another may have its port.
func Twice(p *spec.Project, services []string) []*TwiceError {
	var twice []*TwiceError
	taken := make(map[socket][]entry, len(services))
	for _, name := range services {
		s := p.Services[name]
		if s == nil || s.Replicas() == 0 {
			continue
		}
		twice = append(twice, short(p, name, s)...)
		for _, now := range entries(p, name, s) {
			if count := s.Replicas(); count > 1 {
				e := twiceAt(p, now)
				e.Count = count
				twice = append(twice, e)
				continue
			}
			for _, before := range taken[now.port] {
				if now.meets(before) && !follows(p, name, before.service) && !follows(p, before.service, name) {
					e := twiceAt(p, now)
					e.Other, e.At = before.service, p.Places.Nearest(before.path())
					twice = append(twice, e)
					break
				}
			}
			taken[now.port] = append(taken[now.port], now)
		}
	}
	return twice
}

// short are the ranges of a service that have fewer ports than it has replicas.
func short(p *spec.Project, name string, s *spec.Service) (errs []*TwiceError) {
	for i, given := range s.Ports {
		from, to, isRange := strings.Cut(given.Published, "-")
		low, err := strconv.Atoi(from)
		high, also := strconv.Atoi(to)
		if ports := high - low + 1; isRange && err == nil && also == nil && ports < s.Replicas() && s.NetworkMode != spec.NetworkHost && s.NetworkMode != spec.NetworkNone {
			path := entry{service: name, index: i}.path()
			errs = append(errs, &TwiceError{
				Service: name, Other: name, Port: given.Published + "/" + cmp.Or(given.Protocol, spec.ProtocolTCP), Path: path, Place: p.Places.Nearest(path), Count: s.Replicas(), Ports: ports,
			})
		}
	}
	return errs
}

// twiceAt is the error about an entry. Its place is looked for here alone: to find the
// places of a large project costs as much as to decode it.
func twiceAt(p *spec.Project, e entry) *TwiceError {
	return &TwiceError{Service: e.service, Other: e.service, Port: e.port.String(), Path: e.path(), Place: p.Places.Nearest(e.path())}
}

// follows says that a service starts when another has ended: it waits for that, or
// depends on one that does.
func follows(p *spec.Project, service, other string) bool {
	seen, rest := map[string]bool{}, []string{service}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		s := p.Services[name]
		if seen[name] || s == nil {
			continue
		}
		seen[name] = true
		if s.DependsOn[other].Condition == spec.ServiceCompleted {
			return true
		}
		for dependency := range s.DependsOn {
			rest = append(rest, dependency)
		}
	}
	return false
}

// entries are those of a service that want one port each. Where a network says at
// which address ports without one are published, these are left aside.
func entries(p *spec.Project, name string, s *spec.Service) []entry {
	if s.NetworkMode == spec.NetworkHost || s.NetworkMode == spec.NetworkNone {
		return nil
	}
	elsewhere := false
	for key := range s.Networks {
		n := p.Networks[key]
		elsewhere = elsewhere || n != nil && (n.External || n.DriverOpts[spec.OptHostBinding] != "")
	}
	var all []entry
	for i, given := range s.Ports {
		if given.Published == "" {
			continue
		}
		number, err := strconv.Atoi(given.Published)
		if err != nil || number == 0 || elsewhere && given.HostIP == "" {
			continue
		}
		use := entry{service: name, index: i, port: socket{number, cmp.Or(given.Protocol, spec.ProtocolTCP)}}
		if given.HostIP != "" {
			if use.address, err = netip.ParseAddr(given.HostIP); err != nil {
				continue
			}
		}
		all = append(all, use)
	}
	return all
}

// meets says that two entries of one port want it both: at one address, or one of them at all of its
// family, or at all there are.
func (u entry) meets(o entry) bool {
	a, b := u.address, o.address
	switch {
	case !a.IsValid() || !b.IsValid():
		return true
	case a.Is4() != b.Is4():
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}
