package inventory

import "testing"

func TestFiltersOfVolumesAndNetworks(t *testing.T) {
	data := resource{name: "shop_data", labels: map[string]string{"team": "red", "tmp": ""}, dangles: true}
	for name, c := range map[string]struct {
		filters []string
		want    bool
	}{
		"none":                       {nil, true},
		"a part of the name":         {[]string{"name=data"}, true},
		"another name":               {[]string{"name=db"}, false},
		"one of two names":           {[]string{"name=db", "name=shop"}, true},
		"a label":                    {[]string{"label=tmp"}, true},
		"a label's value":            {[]string{"label=team=red"}, true},
		"another value":              {[]string{"label=team=blue"}, false},
		"all labels":                 {[]string{"label=team=red", "label=none"}, false},
		"unused":                     {[]string{"dangling=true"}, true},
		"used":                       {[]string{"dangling=false"}, false},
		"the driver":                 {[]string{"driver=local"}, true},
		"another driver, right name": {[]string{"driver=nfs", "name=shop"}, false},
	} {
		keep, err := resourceFilter(c.filters, "local")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if keep(data) != c.want {
			t.Errorf("%s: kept %t", name, !c.want)
		}
	}
	for _, bad := range []string{"name", "size=3", "dangling=yes"} {
		if _, err := resourceFilter([]string{bad}, "local"); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
