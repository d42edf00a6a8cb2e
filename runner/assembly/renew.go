package assembly

import (
	"errors"
	"io/fs"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/network/netns"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/userns"
	"github.com/orlop/orlop/spec"
)

// Renew brings the document of a container up to date for another start, and says whether
// it differs now: see oci.Renew, and whether the kernel can map a directory of the machine,
// below which something else may be mounted since.
func (m *Maker) Renew(doc *specs.Spec, rec *supervisor.Record) (changed bool, err error) {
	s := rec.Applied.Service
	if changed, err = oci.Renew(doc, rec.Service, s, m.Init); err != nil {
		return false, err
	}
	mapped := userns.Mapped(s.IDMap(), netns.UsersPath(rec.Netns))
	if mapped == nil {
		return changed, nil
	}
	for _, one := range rec.Applied.Mounts() {
		if one.Type != spec.MountBind {
			continue
		}
		if _, err := os.Stat(one.Source); errors.Is(err, fs.ErrNotExist) {
			continue // the start tells of it
		}
		options, err := mapped(one.Source)
		if err != nil {
			return false, err
		}
		changed = oci.Remap(doc, one.Source, one.Target, options) || changed
	}
	return changed, nil
}
