package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// subnetBits is the size of a picked subnet: room for 253 replicas.
const subnetBits = 24

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

// pickSubnet returns the first subnet of the pools that overlaps nothing taken.
func pickSubnet(pools, taken []netip.Prefix) (netip.Prefix, error) {
	for _, pool := range pools {
		bits := max(subnetBits, pool.Bits())
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
	subnet netip.Prefix
	used   map[netip.Addr]bool
	last   uint32
}

func newAddrPool(subnet netip.Prefix, gateway netip.Addr) *addrPool {
	return &addrPool{
		subnet: subnet,
		used:   map[netip.Addr]bool{gateway: true},
		last:   toUint(subnet.Masked().Addr()),
	}
}

// take reserves want, or the next free address if want is not valid.
func (p *addrPool) take(want netip.Addr) (netip.Addr, error) {
	network := toUint(p.subnet.Masked().Addr())
	size := uint32(1) << (32 - p.subnet.Bits())
	if want.IsValid() {
		want = want.Unmap()
		host := toUint(want) - network
		switch {
		case !p.subnet.Contains(want) || host == 0 || host == size-1:
			return netip.Addr{}, fmt.Errorf("address %s is no host's address in %s", want, p.subnet)
		case p.used[want]:
			return netip.Addr{}, fmt.Errorf("address %s is in use", want)
		}
		p.used[want] = true
		return want, nil
	}
	for range size {
		p.last++
		host := p.last - network
		if host == 0 || host >= size-1 {
			p.last = network
			continue
		}
		addr := toAddr(p.last)
		if !p.used[addr] {
			p.used[addr] = true
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are in use", p.subnet)
}

func (p *addrPool) give(addr netip.Addr) { delete(p.used, addr) }

func toUint(a netip.Addr) uint32 {
	b := a.Unmap().As4()
	return binary.BigEndian.Uint32(b[:])
}

func toAddr(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
