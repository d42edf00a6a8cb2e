package firewall

import "testing"

func TestTablesOfEngines(t *testing.T) {
	for table, want := range map[string]bool{
		"orlop_t1": true, "orlop_t1_ports": true, "orlop_0a9f": true, "orlop_0a9f_ports": true, "orlop_dns": true, "orlop_forward": true, "orlop_doctor": true,
		"orlop_guard": false, "orlop_": false, "orlop_t2": false, "orlop_0a9g": false, "orlop_0a9f_portz": false, "filter": false, "": false,
	} {
		if got := IsOurs("t1", table); got != want {
			t.Errorf("%q: %t", table, got)
		}
	}
}
