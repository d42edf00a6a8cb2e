package engine

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec"
)

// TestTheAddressesOfANetworkFitItsSubnet: what doesn't is told by its flag.
func TestTheAddressesOfANetworkFitItsSubnet(t *testing.T) {
	for name, c := range map[string]struct {
		pool spec.IPAMPool
		want string // the flag that is complained of
	}{
		"none":                      {spec.IPAMPool{}, ""},
		"a subnet":                  {spec.IPAMPool{Subnet: "10.77.0.0/24"}, ""},
		"all of it":                 {spec.IPAMPool{Subnet: "10.77.0.0/24", Gateway: "10.77.0.9", IPRange: "10.77.0.128/25"}, ""},
		"the whole subnet as range": {spec.IPAMPool{Subnet: "10.77.0.0/24", IPRange: "10.77.0.0/24"}, ""},
		"of version 6":              {spec.IPAMPool{Subnet: "fd00:77::/64", Gateway: "fd00:77::9"}, ""},
		"a gateway of nothing":      {spec.IPAMPool{Gateway: "10.77.0.1"}, "add --subnet"},
		"a range of nothing":        {spec.IPAMPool{IPRange: "10.77.0.0/25"}, "add --subnet"},
		"an address as subnet":      {spec.IPAMPool{Subnet: "10.77.0.1"}, "--subnet is"},
		"a subnet with a host part": {spec.IPAMPool{Subnet: "10.77.0.1/24"}, "--subnet is"},
		"a gateway elsewhere":       {spec.IPAMPool{Subnet: "10.77.0.0/24", Gateway: "10.78.0.1"}, "--gateway is"},
		"a gateway of version 6":    {spec.IPAMPool{Subnet: "10.77.0.0/24", Gateway: "fd00::1"}, "--gateway is"},
		"a name as gateway":         {spec.IPAMPool{Subnet: "10.77.0.0/24", Gateway: "gate"}, "--gateway is"},
		"a range elsewhere":         {spec.IPAMPool{Subnet: "10.77.0.0/24", IPRange: "10.78.0.0/25"}, "--ip-range is"},
		"a range around the subnet": {spec.IPAMPool{Subnet: "10.77.0.0/24", IPRange: "10.77.0.0/16"}, "--ip-range is"},
		"an address as range":       {spec.IPAMPool{Subnet: "10.77.0.0/24", IPRange: "10.77.0.7"}, "--ip-range is"},
	} {
		err := checkPool(c.pool)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAVolumeIsMadeListedAndRemoved(t *testing.T) {
	d := newDesk(t)
	made, err := d.CreateVolume(d.ctx, &api.VolumeInfo{Name: "data", Labels: map[string]string{"a": "b"}})
	if err != nil || made.Name != "data" || made.Labels["a"] != "b" || made.Path == "" || made.Anonymous {
		t.Errorf("%v, %v", made, err)
	}
	if list, err := d.Volumes(d.ctx, nil); err != nil || len(list.Volumes) != 1 || list.Volumes[0].Name != "data" {
		t.Errorf("%v, %v", list, err)
	}
	for _, absent := range []bool{false, true} { // the second finds none
		if reply, err := d.RemoveVolume(d.ctx, &api.RemoveVolumeRequest{Name: "data"}); err != nil || reply.Absent != absent {
			t.Errorf("%v, %v", reply, err)
		}
	}
	if list, _ := d.Volumes(d.ctx, nil); len(list.GetVolumes()) != 0 {
		t.Errorf("left is %v", list)
	}
}
