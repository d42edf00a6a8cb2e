package values

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// devices checks which devices a service has, and what it may do with them.
func (c checker) devices(s *tree.Node, path string) {
	for i, item := range s.Value("devices").Entries() {
		if item.Kind == tree.MapNode {
			c.deviceNode(item, tree.Indexed(path+".devices", i))
		}
	}
	for i, item := range s.Value("device_cgroup_rules").Entries() {
		if item.Kind == tree.ScalarNode && !spec.DeviceRule().MatchString(item.Text) {
			c.Fail(item, tree.Indexed(path+".device_cgroup_rules", i), fmt.Sprintf("%q is no rule for devices", spec.Shorten(item.Text)),
				`write it as "c 189:* rmw": kind, numbers and access`)
		}
	}
	if gpus := s.Value("gpus"); gpus != nil {
		c.deviceRequests(gpus, path+".gpus")
	}
	if reserved := s.Value("deploy").Value("resources").Value("reservations").Value("devices"); reserved != nil {
		c.deviceRequests(reserved, path+".deploy.resources.reservations.devices")
	}
	if parent := s.Value("cgroup_parent"); parent != nil && parent.Kind == tree.ScalarNode && strings.Contains("/"+parent.Text+"/", "/../") {
		c.Fail(parent, path+".cgroup_parent", fmt.Sprintf("%q leads out of the control groups", spec.Shorten(parent.Text)), "write a path below their root, such as /mine")
	}
}

func (c checker) deviceNode(item *tree.Node, at string) {
	d := spec.Device{Source: tree.TextAt(item, "source"), Target: tree.TextAt(item, "target"), Permissions: tree.TextAt(item, "permissions")}
	switch {
	case d.IsCDI():
	case !strings.HasPrefix(d.Source, "/"):
		c.Fail(firstOf(item.Value("source"), item), at, fmt.Sprintf("%q is not the path of a device", spec.Shorten(d.Source)), "write one such as /dev/ttyUSB0, or a name such as vendor.com/gpu=0")
	case d.Target != "" && !strings.HasPrefix(d.Target, "/"):
		c.Fail(firstOf(item.Value("target"), item), at, fmt.Sprintf("the target %q is not an absolute path", spec.Shorten(d.Target)), "write it as PATH:PATH IN THE CONTAINER:"+"rwm")
	case strings.Trim(d.Permissions, "rwm") != "":
		c.Fail(firstOf(item.Value("permissions"), item), at, fmt.Sprintf("%q are no permissions of a device", spec.Shorten(d.Permissions)), "write r, w and m, or some of them")
	}
}

// deviceRequests checks that somebody knows the driver of devices that are asked for.
func (c checker) deviceRequests(list *tree.Node, path string) {
	for i, item := range list.Entries() {
		driver := tree.TextAt(item, "driver")
		for j, capability := range item.Value("capabilities").Entries() {
			if driver != spec.DriverCDI && capability.Kind == tree.ScalarNode && !slices.Contains(spec.GPUCapabilities(), capability.Text) {
				c.Fail(capability, tree.Indexed(tree.Indexed(path, i)+".capabilities", j), fmt.Sprintf("no driver gives devices for %q", spec.Shorten(capability.Text)),
					"gpu is given; for others write driver: cdi, and device_ids such as vendor.com/class=name")
			}
		}
		_, known := spec.DeviceVendors()[driver]
		if item.Kind == tree.MapNode && !known && driver != spec.DriverCDI {
			c.Fail(item.Value("driver"), tree.Indexed(path, i)+".driver", fmt.Sprintf("no driver of devices is called %q", spec.Shorten(driver)),
				"nvidia and amd are known, and cdi, whose device_ids are names such as vendor.com/gpu=0")
		}
	}
}
