package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/orlop/orlop/spec"
)

// devices gives a container the devices that its service asks for (Compose
// Specification, devices, device_cgroup_rules, gpus).
func devices(doc *specs.Spec, s *spec.Service) error {
	var names []string
	for i, d := range s.Devices {
		if d.IsCDI() {
			names = append(names, d.Source)
			continue
		}
		if err := deviceNodes(doc, d); err != nil {
			return &KeyError{Service: s.Name, Key: fmt.Sprintf("devices[%d]", i), Text: err.Error(), Err: err}
		}
	}
	for _, rule := range s.DeviceRules {
		doc.Linux.Resources.Devices = append(doc.Linux.Resources.Devices, deviceRule(rule))
	}
	if err := inject(doc, names); err != nil {
		return &KeyError{Service: s.Name, Key: "devices", Text: err.Error(), Err: err}
	}
	requests := s.DeviceRequests()
	for _, key := range slices.Sorted(maps.Keys(requests)) {
		for i, r := range requests[key] {
			if err := inject(doc, requested(r)); err != nil {
				return &KeyError{Service: s.Name, Key: fmt.Sprintf("%s[%d]", key, i), Text: err.Error(), Err: err}
			}
		}
	}
	return nil
}

// deviceNodes adds a device of the host, or each in a directory.
func deviceNodes(doc *specs.Spec, d spec.Device) error {
	source, err := filepath.EvalSymlinks(d.Source)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this machine has no %s", d.Source)
	}
	if err != nil {
		return fmt.Errorf("cannot find the device %s: %w", d.Source, err)
	}
	target, access := d.Target, d.Permissions
	if target == "" {
		target = d.Source
	}
	if access == "" {
		access = "rwm"
	}
	found := false
	err = filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, _ := filepath.Rel(source, path)
		node, ok := deviceAt(path, filepath.Join(target, inside))
		if !ok {
			return nil
		}
		found = true
		doc.Linux.Devices = slices.DeleteFunc(doc.Linux.Devices, func(other specs.LinuxDevice) bool { return other.Path == node.Path })
		doc.Linux.Devices = append(doc.Linux.Devices, node)
		doc.Linux.Resources.Devices = append(doc.Linux.Resources.Devices,
			specs.LinuxDeviceCgroup{Allow: true, Type: node.Type, Major: &node.Major, Minor: &node.Minor, Access: access})
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot read the devices of %s: %w", d.Source, err)
	}
	if !found {
		return fmt.Errorf("%s is no device, and no directory of any", d.Source)
	}
	return nil
}

// deviceAt is the device at a path of the host, as it is to be in a container.
func deviceAt(path, target string) (specs.LinuxDevice, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return specs.LinuxDevice{}, false
	}
	kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b"}[st.Mode&unix.S_IFMT]
	mode := fs.FileMode(st.Mode & 0o7777)
	return specs.LinuxDevice{
		Path: target, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), FileMode: &mode, UID: &st.Uid, GID: &st.Gid,
	}, kind != ""
}

// deviceRule is an entry of device_cgroup_rules, whose form was checked.
func deviceRule(text string) specs.LinuxDeviceCgroup {
	parts := spec.DeviceRule().FindStringSubmatch(text)
	if parts == nil {
		return specs.LinuxDeviceCgroup{} // which allows nothing
	}
	number := func(s string) *int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil // all of them
		}
		return &n
	}
	return specs.LinuxDeviceCgroup{Allow: true, Type: parts[1], Major: number(parts[2]), Minor: number(parts[3]), Access: parts[4]}
}

// requested are the names of the Container Device Interface of what is asked of a driver.
func requested(r spec.DeviceRequest) []string {
	if r.Driver == spec.DriverCDI {
		return r.IDs
	}
	class := spec.DeviceVendors()[r.Driver] + "/gpu="
	var names []string
	for _, id := range r.IDs {
		names = append(names, class+id)
	}
	if r.Count < 0 {
		names = append(names, class+"all")
	}
	for i := range r.Count {
		names = append(names, class+strconv.FormatInt(i, 10))
	}
	return names
}

// inject adds the devices that the machine's documents of the Container Device Interface
// describe (/etc/cdi, /var/run/cdi).
func inject(doc *specs.Spec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	known, err := cdi.NewCache(cdi.WithAutoRefresh(false))
	if err != nil {
		return err
	}
	if missing, err := known.InjectDevices(doc, names...); err != nil {
		if len(missing) > 0 {
			return fmt.Errorf("this machine describes no device %s: look for its driver's documents in /etc/cdi (of NVIDIA: nvidia-ctk cdi generate)", strings.Join(missing, ", "))
		}
		return fmt.Errorf("cannot give it %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}
