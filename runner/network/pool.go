package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// subnetBits is the size of a picked subnet, unless more is asked for: room for
// 253 containers.
const subnetBits = 24

// bitsFor is the size of a subnet that has room for so many containers, and some
// that take their places.
func bitsFor(containers int) int {
	bits := subnetBits
	for bits > 16 && 1<<(32-bits) < containers+containers/8+16 {
		bits--
	}
	return bits
}

// DefaultPools are the private ranges that networks are picked from.
func DefaultPools() []netip.Prefix {
	var pools []netip.Prefix
	for second := byte(89); second < 105; second++ {
		pools = append(pools, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, 0, 0}), 16))
	}
	for second := byte(20); second < 32; second++ {
		pools = append(pools, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second, 0, 0}), 16))
	}
	return pools
}

// pickSubnet returns the first subnet of a size in the pools that overlaps nothing
// taken. A pool that is smaller is taken whole.
func pickSubnet(pools, taken []netip.Prefix, size int) (netip.Prefix, error) {
	for _, pool := range pools {
		bits := max(size, pool.Bits())
		step := uint32(1) << (32 - bits)
		count := uint32(1) << (bits - pool.Bits())
		first := toUint(pool.Masked().Addr())
		for i := range count {
			p := netip.PrefixFrom(toAddr(first+i*step), bits)
			if _, clash := firstOverlap(p, taken); !clash {
				return p, nil
			}
		}
	}
	return netip.Prefix{}, fmt.Errorf("no free range is left for a network in %v: every part of it overlaps a route or address of this machine; name a free one (networks.*.ipam.config.subnet)", pools)
}

func firstOverlap(p netip.Prefix, taken []netip.Prefix) (netip.Prefix, bool) {
	for _, t := range taken {
		if t.Overlaps(p) {
			return t, true
		}
	}
	return netip.Prefix{}, false
}

// addrPool hands out the addresses of one subnet. An address that was given
// back is handed out again as late as possible, for the sake of whoever
// remembers it.
type addrPool struct {
	subnet  netip.Prefix
	gateway netip.Addr   // nobody's, and never handed out
	within  netip.Prefix // those that are handed out to who asks for none
	used    map[netip.Addr]bool
	last    uint32
}

func newAddrPool(subnet netip.Prefix, gateway netip.Addr, aux ...netip.Addr) *addrPool {
	p := &addrPool{subnet: subnet, gateway: gateway, used: map[netip.Addr]bool{gateway: true}}
	for _, addr := range aux {
		p.used[addr] = true
	}
	p.bound(netip.Prefix{})
	return p
}

// bound sets what is handed out to who asks for none; the zero Prefix is all.
func (p *addrPool) bound(within netip.Prefix) {
	if !within.IsValid() {
		within = p.subnet
	}
	if within = within.Masked(); within != p.within {
		p.within, p.last = within, toUint(within.Addr())-1
	}
}

// errTaken is an address that somebody has.
var errTaken = errors.New("in use")

// take reserves want, or if want is not valid the next free address that is
// not reserved.
func (p *addrPool) take(want netip.Addr, isReserved func(netip.Addr) bool) (netip.Addr, error) {
	if want.IsValid() {
		want = want.Unmap()
		switch {
		case !p.isHost(want):
			return netip.Addr{}, fmt.Errorf("address %s is not a host address in %s", want, p.subnet)
		case p.used[want]:
			return netip.Addr{}, fmt.Errorf("address %s is %w", want, errTaken)
		}
		p.used[want] = true
		return want, nil
	}
	first, size := toUint(p.within.Addr()), uint32(1)<<(32-p.within.Bits())
	for range size {
		p.last++
		if p.last < first || p.last-first >= size {
			p.last = first
		}
		addr := toAddr(p.last)
		if p.isHost(addr) && !p.used[addr] && !isReserved(addr) {
			p.used[addr] = true
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are in use, or fixed by a stack file", p.within)
}

// isHost says whether a host of the subnet may have an address: neither the
// network's own nor that for all of it.
func (p *addrPool) isHost(addr netip.Addr) bool {
	host, size := toUint(addr)-toUint(p.subnet.Masked().Addr()), uint32(1)<<(32-p.subnet.Bits())
	return p.subnet.Contains(addr) && host != 0 && host != size-1
}

func (p *addrPool) give(addr netip.Addr) {
	if addr != p.gateway {
		delete(p.used, addr)
	}
}

func toUint(a netip.Addr) uint32 {
	b := a.Unmap().As4()
	return binary.BigEndian.Uint32(b[:])
}

func toAddr(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
