package spec

import (
	"regexp"
	"strings"
	"sync"
)

// Device is a device of the host that a service has (Compose Specification, devices): a
// device, a directory of them, or a name of the Container Device Interface.
type Device struct {
	Source      string `json:"source"`
	Target      string `json:"target,omitempty"`      // the path in the container; "": that of Source
	Permissions string `json:"permissions,omitempty"` // of r, w and m; "": all
}

// IsCDI says that a device is named as the Container Device Interface does:
// vendor.com/class=name.
func (d *Device) IsCDI() bool {
	return !strings.HasPrefix(d.Source, "/") && strings.Contains(d.Source, "=")
}

// DeviceRequest asks a driver for devices (Compose Specification, gpus; Compose Deploy
// Specification, devices).
type DeviceRequest struct {
	Capabilities []string           `json:"capabilities,omitempty"`
	Driver       string             `json:"driver,omitempty"`
	Count        int64              `json:"count,omitempty"` // -1: all there are
	IDs          []string           `json:"device_ids,omitempty"`
	Options      map[string]*string `json:"options,omitempty"`
}

// DeviceRule is the form of an entry of device_cgroup_rules: kind, numbers and access.
var DeviceRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`) })

// DeviceRequests are what a service asks drivers of devices for, by the path of its key.
func (s *Service) DeviceRequests() map[string][]DeviceRequest {
	all := map[string][]DeviceRequest{}
	if len(s.GPUs) > 0 {
		all["gpus"] = s.GPUs
	}
	if s.Deploy != nil && s.Deploy.Resources != nil && s.Deploy.Resources.Reservations != nil && len(s.Deploy.Resources.Reservations.Devices) > 0 {
		all["deploy.resources.reservations.devices"] = s.Deploy.Resources.Reservations.Devices
	}
	return all
}

// DeviceVendors are the vendors of the Container Device Interface by the drivers that
// requests name.
func DeviceVendors() map[string]string {
	return map[string]string{"": "nvidia.com", "nvidia": "nvidia.com", "amd": "amd.com"}
}

// DriverCDI is the driver whose device_ids are names of the Container Device Interface.
const DriverCDI = "cdi"

// GPUCapabilities are what a request may want of the drivers of DeviceVendors: all of it
// comes with the devices.
func GPUCapabilities() []string {
	return []string{"gpu", "nvidia", "amd", "compute", "compat32", "graphics", "utility", "video", "display", "ngx"}
}
