package inventory

import (
	"testing"

	"github.com/orlop/orlop/api"
)

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

func TestImagesByName(t *testing.T) {
	v := &Verbs{}
	for name, c := range map[string]struct {
		image, pattern string
		want           bool
	}{
		"a repository":               {"docker.io/library/alpine:3.21", "alpine", true},
		"with its tag":               {"docker.io/library/alpine:3.21", "alpine:3.21", true},
		"another tag":                {"docker.io/library/alpine:3.21", "alpine:3", false},
		"in full":                    {"docker.io/library/alpine:3.21", "docker.io/library/alpine:3.21", true},
		"a part of a name":           {"docker.io/library/alpine:3.21", "alp", false},
		"wildcards":                  {"docker.io/library/alpine:3.21", "alp*:3.*", true},
		"not past a slash":           {"docker.io/team/alpine:3.21", "*alpine", false},
		"a folder of a name":         {"docker.io/team/alpine:3.21", "team/*", true},
		"a registry with a port":     {"localhost:5000/alpine:3.21", "localhost:5000/alpine", true},
		"a registry's port, no tag":  {"localhost:5000/alpine:3.21", "localhost:5000", false},
		"by digest":                  {"docker.io/library/alpine@sha256:ab", "alpine", true},
		"another repository's start": {"docker.io/library/alpine-two:1", "alpine", false},
	} {
		if got := v.lineOf(&api.ImageInfo{Name: c.image}).named(c.pattern); got != c.want {
			t.Errorf("%s: %q of %q: %t", name, c.pattern, c.image, got)
		}
	}
}
