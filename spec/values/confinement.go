package values

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
)

// securityOpts checks what a service says of its confinement.
func (c checker) securityOpts(s *tree.Node, path string) {
	list := s.Value("security_opt")
	if list == nil {
		return
	}
	for i, item := range list.Items {
		if item.Kind != tree.ScalarNode {
			continue
		}
		at := tree.Indexed(path+".security_opt", i)
		name, value := spec.CutSecurityOpt(item.Text)
		if item.Text == "disable" { // a label's, as Docker takes it
			name, value = spec.OptLabel, item.Text
		}
		if !slices.Contains(spec.SecurityOpts(), name) {
			c.Fail(item, at, fmt.Sprintf("no security option is called %q", spec.Shorten(name)), spec.DidYouMean(name, spec.SecurityOpts()))
			continue
		}
		isSwitch := name == spec.OptNoNewPrivileges || name == spec.OptWritableCgroups
		_, err := strconv.ParseBool(value)
		switch {
		case isSwitch && value != "" && err != nil:
			c.Fail(item, at, fmt.Sprintf("%q is no value of %s", spec.Shorten(value), name), "write "+name+"=true, or "+name+"=false")
		case name == spec.OptSystemPaths && value != spec.Unconfined:
			c.Fail(item, at, fmt.Sprintf("%q is no value of %s", spec.Shorten(value), name), "write "+name+"="+spec.Unconfined)
		case !isSwitch && value == "":
			c.Fail(item, at, name+" has no value", "write "+name+"="+spec.Unconfined)
		case name == spec.OptLabel:
			c.NoEffect(item, at, spec.Topic{Subject: path + ".security_opt", Text: "no effect: " + schema.NoSELinux}, fmt.Sprintf("%q has no effect: %s", item.Text, schema.NoSELinux))
		}
	}
}
