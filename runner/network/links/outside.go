package links

import (
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Passthru is the mode of macvlan that has one link on its parent.
const Passthru = "passthru"

// MacvlanMode is the kernel's word for a mode of macvlan, bridge for any other.
func MacvlanMode(text string) netlink.MacvlanMode {
	switch text {
	case "private":
		return netlink.MACVLAN_MODE_PRIVATE
	case "vepa":
		return netlink.MACVLAN_MODE_VEPA
	case Passthru:
		return netlink.MACVLAN_MODE_PASSTHRU
	}
	return netlink.MACVLAN_MODE_BRIDGE
}

// IPvlanMode is the kernel's word for a mode of ipvlan, l2 for any other.
func IPvlanMode(text string) netlink.IPVlanMode {
	switch text {
	case "l3":
		return netlink.IPVLAN_MODE_L3
	case "l3s":
		return netlink.IPVLAN_MODE_L3S
	}
	return netlink.IPVLAN_MODE_L2
}

// IPvlanFlag is the kernel's word for a flag of ipvlan, bridge for any other.
func IPvlanFlag(text string) netlink.IPVlanFlag {
	switch text {
	case "private":
		return netlink.IPVLAN_FLAG_PRIVATE
	case "vepa":
		return netlink.IPVLAN_FLAG_VEPA
	}
	return netlink.IPVLAN_FLAG_BRIDGE
}

// VLANOf reads eth0.10: VLAN 10 of eth0.
func VLANOf(name string) (base string, id int, ok bool) {
	base, number, ok := cutLast(name, ".")
	const most = 4094 // IEEE 802.1Q
	id, err := strconv.Atoi(number)
	return base, id, ok && base != "" && err == nil && id >= 1 && id <= most
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}
