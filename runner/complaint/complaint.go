// Package complaint puts failures of the runtime into words of the stack file, with
// the place that they are about.
package complaint

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/runner/network/pool"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// Placed adds to an error where the stack file asks for what failed, in the service
// that was wanted.
func Placed(err error, want *spec.Service, places spec.Places) error {
	if pe, ok := errors.AsType[*ports.Error](err); ok {
		for i, p := range want.Ports {
			if p.Published == pe.Port && p.Target == pe.Target {
				pe.Place = places.Nearest(fmt.Sprintf("services.%s.ports[%d]", pe.Service, i))
				break
			}
		}
	}
	if me, ok := errors.AsType[*volume.MountError](err); ok {
		for i, m := range want.Mounts() {
			if m.Target == me.Target {
				me.Place = places.Nearest(spec.MountPath(me.Service, want, i))
				break
			}
		}
	}
	if outside, ok := errors.AsType[*pool.OutsideError](err); ok {
		err = addressed(err, outside, want)
	}
	if ke, ok := errors.AsType[*oci.KeyError](err); ok {
		ke.Place = places.Nearest("services." + ke.Service + "." + ke.Key)
	}
	return err
}

// addressed is the complaint about the address that a service wants on a network.
func addressed(err error, outside *pool.OutsideError, want *spec.Service) error {
	for _, name := range slices.Sorted(maps.Keys(want.Networks)) {
		n := want.Networks[name]
		if n == nil {
			continue
		}
		for key, text := range map[string]string{"ipv4_address": n.IPv4Address, "ipv6_address": n.IPv6Address} {
			if a, bad := netip.ParseAddr(text); bad == nil && a == outside.Address {
				said := fmt.Sprintf("%s is no host's address in %s, the subnet of the network: give the network a subnet that has it", a, outside.Subnet)
				return &oci.KeyError{Service: want.Name, Key: "networks." + name + "." + key, Text: said, Err: err}
			}
		}
	}
	return err
}

// Start is why the process of a container could not be made, in words of the stack
// file where a key of its service is to blame.
func Start(err error, made *supervisor.Metadata) error {
	bad, service, s := shim.Explain(err), made.Service, made.Applied.Service
	if source, target, said, ok := bad.Mount(); ok {
		if i := tmpfsAt(s, target); i >= 0 {
			why := said[strings.LastIndex(said, ":")+1:]
			return &oci.KeyError{Service: service, Key: fmt.Sprintf("tmpfs[%d]", i), Text: "the kernel does not take the options of " + target + ":" + why, Err: bad}
		}
		if err := volume.StartError(service, s, made.Binds, source, target, said, bad); err != nil {
			return err
		}
	}
	if text := bad.Memory(); text != "" {
		return &oci.KeyError{Service: service, Key: "mem_limit", Text: text, Err: bad}
	}
	if strings.HasSuffix(bad.Error(), "cannot start a stopped process") && s.MemoryLimit() > 0 { // the kernel was faster than runc
		return &oci.KeyError{Service: service, Key: "mem_limit", Text: "it is too little: the container's first process was ended before its program ran", Err: bad}
	}
	if key, text := bad.Refused(); key != "" {
		return &oci.KeyError{Service: service, Key: key, Text: text, Err: bad}
	}
	return fmt.Errorf("cannot start %s: %w", made.Name, bad)
}

// tmpfsAt is the index of the entry of tmpfs that is mounted at a target; -1 if none is.
func tmpfsAt(s *spec.Service, target string) int {
	return slices.IndexFunc(s.Tmpfs, func(short string) bool {
		at, _, _ := strings.Cut(short, ":")
		return filepath.Clean(at) == filepath.Clean(target)
	})
}

// Limits is why the limits of a container that runs could not be changed.
func Limits(err error, made *supervisor.Metadata) error {
	bad := shim.Explain(err)
	key, text := bad.Refused()
	if inUse := bad.MemoryInUse(); inUse != "" {
		key, text = "mem_limit", inUse
	}
	if key != "" {
		return &oci.KeyError{Service: made.Service, Key: key, Text: text, Err: bad}
	}
	return fmt.Errorf("cannot change the limits of %s: %w", made.Name, bad)
}
