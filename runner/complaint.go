package runner

import (
	"errors"
	"fmt"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/volume"
)

// placed adds to an error where the stack file asks for what failed, in what
// was wanted.
func (o *Order) placed(err error, want *planner.Applied) error {
	if pe, ok := errors.AsType[*ports.Error](err); ok {
		for i, p := range want.Service.Ports {
			if p.Published == pe.Port && p.Target == pe.Target {
				pe.Place = o.Places.Nearest(fmt.Sprintf("services.%s.ports[%d]", pe.Service, i))
				break
			}
		}
	}
	if me, ok := errors.AsType[*volume.MountError](err); ok {
		for i, m := range want.Service.Mounts() {
			if m.Target == me.Target {
				me.Place = o.Places.Nearest(planner.MountPath(me.Service, want.Service, i))
				break
			}
		}
	}
	if ke, ok := errors.AsType[*oci.KeyError](err); ok {
		ke.Place = o.Places.Nearest("services." + ke.Service + "." + ke.Key)
	}
	return err
}

// startError is why a container's process could not be made, in words of the
// stack file where a key of it is to blame.
func (c *container) startError(err error) error {
	rec := c.snapshot()
	bad := shim.Explain(err)
	if source, target, said, ok := bad.Mount(); ok {
		if err := volume.StartError(rec.Service, rec.Applied.Service, source, target, said, bad); err != nil {
			return err
		}
	}
	if text := bad.Memory(); text != "" {
		return &oci.KeyError{Service: rec.Service, Key: "mem_limit", Text: text, Err: bad}
	}
	return fmt.Errorf("cannot start %s: %w", c.name, bad)
}
