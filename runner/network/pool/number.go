package pool

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// Addresses are counted from the first of their subnet. Of IPv6 the last 64 bits
// count: they are more than anybody hands out.

// mostOf is the number of the last address of a subnet.
func mostOf(p netip.Prefix) uint64 {
	left := p.Addr().BitLen() - p.Bits()
	if left >= 64 {
		return math.MaxUint64
	}
	return 1<<left - 1
}

// at is an address of a subnet by its number.
func at(p netip.Prefix, n uint64) netip.Addr {
	first := p.Masked().Addr()
	if first.Is4() {
		return addr4(low(first) + n)
	}
	b := first.As16()
	binary.BigEndian.PutUint64(b[8:], low(first)+n)
	return netip.AddrFrom16(b)
}

// number is the inverse of at.
func number(p netip.Prefix, addr netip.Addr) (n uint64, ok bool) {
	first := p.Masked().Addr()
	return low(addr) - low(first), p.Contains(addr) && high(addr) == high(first)
}

// low is an address of IPv4, or the last half of one of IPv6.
func low(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[8:])
}

// high is the first half of an address of IPv6; there is none of IPv4.
func high(a netip.Addr) uint64 {
	if a.Is4() {
		return 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

func addr4(n uint64) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b)
}

// After is the first address behind a subnet; it is not valid where there is none.
func After(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last.Next()
}
