package pool

import (
	"fmt"
	"net/netip"
)

// Sizes of a picked subnet, unless more is asked for: room for 253 containers, and
// of IPv6 what every program expects of a link (RFC 4291, 2.5.1).
const (
	bits4 = 24
	bits6 = 64
)

// BitsFor is the size of a subnet of IPv4 that has room for so many containers, and
// some that take their places.
func BitsFor(containers int) int {
	bits := bits4
	for bits > 16 && 1<<(32-bits) < containers+containers/8+16 {
		bits--
	}
	return bits
}

// Default are the private ranges of IPv4 that networks are picked from.
func Default() []netip.Prefix {
	var pools []netip.Prefix
	for second := byte(89); second < 105; second++ {
		pools = append(pools, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, second, 0, 0}), 16))
	}
	for second := byte(20); second < 32; second++ {
		pools = append(pools, netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second, 0, 0}), 16))
	}
	return pools
}

// Pick4 returns the first subnet of IPv4 of a size in the ranges that overlaps nothing
// taken.
func Pick4(ranges, taken []netip.Prefix, bits int) (netip.Prefix, error) {
	return pick(ranges, taken, bits)
}

// Pick6 is Pick4 of IPv6.
func Pick6(ranges, taken []netip.Prefix) (netip.Prefix, error) { return pick(ranges, taken, bits6) }

// pick picks a subnet. A range that is smaller is taken whole.
func pick(ranges, taken []netip.Prefix, size int) (netip.Prefix, error) {
	for _, r := range ranges {
		p := netip.PrefixFrom(r.Masked().Addr(), max(size, r.Bits()))
		for p.IsValid() && r.Overlaps(p) {
			t, clash := Overlap(p, taken)
			if !clash {
				return p, nil
			}
			if t.Bits() > p.Bits() {
				t = p // what is taken is a part of it
			}
			p = netip.PrefixFrom(After(t), p.Bits())
		}
	}
	return netip.Prefix{}, fmt.Errorf("no free range is left for a network in %v: every part of it overlaps a route or address of this machine; name a free one (networks.*.ipam.config.subnet)", ranges)
}

// Overlap is the first of the ranges that overlaps another.
func Overlap(p netip.Prefix, ranges []netip.Prefix) (netip.Prefix, bool) {
	for _, r := range ranges {
		if r.Overlaps(p) {
			return r, true
		}
	}
	return netip.Prefix{}, false
}
