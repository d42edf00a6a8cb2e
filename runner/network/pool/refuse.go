package pool

import (
	"fmt"
	"net/netip"
)

// Refuse says why subnets can't be a network's: they have no addresses for hosts, or overlap one that the machine uses.
func Refuse(taken netip.Prefix, subnets ...netip.Prefix) error {
	for _, subnet := range subnets {
		if addr := subnet.Addr(); subnet.IsValid() && (addr.IsMulticast() || addr.IsLoopback() || subnet.Bits() == 0) {
			return fmt.Errorf("subnet %s has no addresses for hosts: choose another", subnet)
		}
		if subnet.IsValid() && subnet.Overlaps(taken) {
			return fmt.Errorf("subnet %s overlaps %s, which this machine uses: choose another", subnet, taken)
		}
	}
	return nil
}
