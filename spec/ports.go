package spec

import (
	"fmt"
	"net/netip"
	"strconv"
)

// PortTwiceError is a port of the machine that two containers of a stack publish, or one
// twice: the second would not start.
type PortTwiceError struct {
	Service string
	Port    string // with its protocol
	Path    string // of the entry
	Place   Place
	Other   string // the service that has it already; Service where there are replicas
	At      Place  // there
	Count   int    // of replicas that would share it, where one entry is all there is
}

func (e *PortTwiceError) Error() string {
	if e.Place.File == "" {
		return e.Path + ": " + e.Text()
	}
	return e.Place.String() + ": " + e.Path + ": " + e.Text()
}

// Text is the error without the place of the entry.
func (e *PortTwiceError) Text() string {
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

// publishedPort is an entry of ports that wants one port of the machine.
type publishedPort struct {
	service, path string
	port          int
	protocol      string
	address       netip.Addr // invalid: all of the machine's
}

// PortsTwice are the ports of the machine that services want twice, as far as the file
// says which: one of a range, and any free one, is found when it is published. A service
// that waits for the end of another may have its port.
func (p *Project) PortsTwice(services []string) []*PortTwiceError {
	var twice []*PortTwiceError
	var taken []publishedPort
	for _, name := range services {
		s := p.Services[name]
		if s == nil || s.Replicas() == 0 {
			continue
		}
		for _, now := range p.published(name, s) {
			e := &PortTwiceError{Service: name, Other: name, Port: strconv.Itoa(now.port) + "/" + now.protocol, Path: now.path, Place: p.Places.Nearest(now.path)}
			if count := s.Replicas(); count > 1 {
				e.Count = count
				twice = append(twice, e)
				continue
			}
			for _, before := range taken {
				if now.meets(before) && !p.follows(name, before.service) && !p.follows(before.service, name) {
					e.Other, e.At = before.service, p.Places.Nearest(before.path)
					twice = append(twice, e)
					break
				}
			}
			taken = append(taken, now)
		}
	}
	return twice
}

// follows says that a service starts when another has ended: it waits for that, or
// depends on one that does.
func (p *Project) follows(service, other string) bool {
	seen, rest := map[string]bool{}, []string{service}
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		s := p.Services[name]
		if seen[name] || s == nil {
			continue
		}
		seen[name] = true
		if s.DependsOn[other].Condition == ServiceCompleted {
			return true
		}
		for dependency := range s.DependsOn {
			rest = append(rest, dependency)
		}
	}
	return false
}

// published are the entries of a service that want one port each. Where a network says at
// which address ports without one are published, these are left aside.
func (p *Project) published(name string, s *Service) []publishedPort {
	if s.NetworkMode == NetworkHost || s.NetworkMode == NetworkNone {
		return nil
	}
	elsewhere := false
	for key := range s.Networks {
		n := p.Networks[key]
		elsewhere = elsewhere || n != nil && (n.External || n.DriverOpts[OptHostBinding] != "")
	}
	var all []publishedPort
	for i, port := range s.Ports {
		number, err := strconv.Atoi(port.Published)
		if err != nil || number == 0 || elsewhere && port.HostIP == "" {
			continue
		}
		use := publishedPort{service: name, path: fmt.Sprintf("services.%s.ports[%d]", name, i), port: number, protocol: port.Protocol}
		if use.protocol == "" {
			use.protocol = ProtocolTCP
		}
		if port.HostIP != "" {
			if use.address, err = netip.ParseAddr(port.HostIP); err != nil {
				continue
			}
		}
		all = append(all, use)
	}
	return all
}

// meets says that two entries want one port: at one address, or one of them at all of its
// family, or at all there are.
func (u publishedPort) meets(o publishedPort) bool {
	if u.port != o.port || u.protocol != o.protocol {
		return false
	}
	a, b := u.address, o.address
	switch {
	case !a.IsValid() || !b.IsValid():
		return true
	case a.Is4() != b.Is4():
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}
