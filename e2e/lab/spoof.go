package lab

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Spoof claims addresses on eth0 of a network namespace, as a container with raw sockets
// can: ARP requests and replies to everybody say that they are at its own link. Of an
// address of IPv6 neighbour advertisements say so, and that it is a router's, who gives
// everybody a default route and addresses of SpoofedRange.
func Spoof(netns string, addresses []string) error {
	return within(netns, func() error { return claim(addresses) })
}

func claim(addresses []string) error {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: link.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	for _, text := range addresses {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		for range 3 {
			if ip.Is6() {
				if err := claim6(fd, link, ip); err != nil {
					return err
				}
				continue
			}
			for _, operation := range []uint16{1, 2} {
				if err := unix.Sendto(fd, arp(operation, link.HardwareAddr, ip), 0, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// arp is a frame of RFC 826 to everybody: the address is at this link.
func arp(operation uint16, own net.HardwareAddr, ip netip.Addr) (frame []byte) {
	everybody := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	frame = append(append(frame, everybody...), own...)
	for _, n := range []uint16{unix.ETH_P_ARP, 1, unix.ETH_P_IP, 0x0604, operation} {
		frame = binary.BigEndian.AppendUint16(frame, n)
	}
	frame = append(append(frame, own...), ip.AsSlice()...)
	return append(append(frame, everybody...), ip.AsSlice()...)
}
