// Package pool hands out addresses: ranges of private addresses to networks, and
// addresses of one range to those who are on it, of IPv4 and of IPv6. It touches
// nothing of the machine.
package pool

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
)

// Pool hands out the addresses of one subnet. An address that was given back is
// handed out again as late as possible, for the sake of whoever remembers it.
// Who uses it sees to it that nobody else does meanwhile.
type Pool struct {
	subnet  netip.Prefix
	gateway netip.Addr   // nobody's, and never handed out
	within  netip.Prefix // those that are handed out to who asks for none
	used    map[netip.Addr]bool
	last    uint64 // that was handed out, counted from the first of within
}

// New is the pool of a subnet; the gateway and what others have are handed out to
// nobody.
func New(subnet netip.Prefix, gateway netip.Addr, others ...netip.Addr) *Pool {
	p := &Pool{subnet: subnet, gateway: gateway, used: map[netip.Addr]bool{gateway: true}}
	for _, addr := range others {
		p.used[addr] = true
	}
	p.Bound(netip.Prefix{})
	return p
}

// Bound sets what is handed out to who asks for none; the zero Prefix is all.
func (p *Pool) Bound(within netip.Prefix) {
	if !within.IsValid() {
		within = p.subnet
	}
	if within = within.Masked(); within != p.within {
		p.within, p.last = within, math.MaxUint64 // the next one is the first
	}
}

// ErrTaken is an address that somebody has.
var ErrTaken = errors.New("in use")

// OutsideError is an address that no host of the subnet can have.
type OutsideError struct {
	Address netip.Addr
	Subnet  netip.Prefix
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("address %s is not a host address in %s", e.Address, e.Subnet)
}

// Take reserves want, or if want is not valid the next free address that is
// not reserved.
func (p *Pool) Take(want netip.Addr, isReserved func(netip.Addr) bool) (netip.Addr, error) {
	if want.IsValid() {
		want = want.Unmap()
		switch {
		case !p.IsHost(want):
			return netip.Addr{}, &OutsideError{want, p.subnet}
		case p.used[want]:
			return netip.Addr{}, fmt.Errorf("address %s is %w", want, ErrTaken)
		}
		p.used[want] = true
		return want, nil
	}
	most := mostOf(p.within)
	for tries := uint64(0); ; tries++ {
		if p.last++; p.last > most {
			p.last = 0
		}
		addr := at(p.within, p.last)
		if p.IsHost(addr) && !p.used[addr] && !isReserved(addr) {
			p.used[addr] = true
			return addr, nil
		}
		if tries == most {
			return netip.Addr{}, fmt.Errorf("all addresses of %s are in use, or fixed by a stack file", p.within)
		}
	}
}

// Hold notes an address that somebody has already; those after it are handed out
// first.
func (p *Pool) Hold(addr netip.Addr) {
	p.used[addr] = true
	if n, ok := number(p.within, addr); ok && (p.last == math.MaxUint64 || n > p.last) {
		p.last = n
	}
}

// IsHost says whether a host of the subnet may have an address: not the network's
// own (RFC 4291, 2.6.1), and of IPv4 not that for all of it.
func (p *Pool) IsHost(addr netip.Addr) bool {
	if !p.subnet.Contains(addr) || addr == p.subnet.Masked().Addr() {
		return false
	}
	n, ok := number(p.subnet, addr)
	return addr.Is6() || ok && n != mostOf(p.subnet)
}

// IsFree says that a host may have the address, and none has.
func (p *Pool) IsFree(addr netip.Addr) bool { return p.IsHost(addr) && !p.used[addr] }

// Give gives an address back.
func (p *Pool) Give(addr netip.Addr) {
	if addr != p.gateway {
		delete(p.used, addr)
	}
}

// InUse is how many addresses are not to be had: the gateway's is one.
func (p *Pool) InUse() int { return len(p.used) }
