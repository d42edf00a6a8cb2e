package volume

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Request says what a container that is being made mounts.
type Request struct {
	Container    string // ID
	Project      string
	Service      string
	Applied      *planner.Applied
	ImageVolumes []string          // the image's VOLUMEs
	Anonymous    map[string]string // target -> volume that nobody named and that it takes over
	Rootfs       []mount.Mount     // of a snapshot of the image
	// Mapped are the options by which what is at a path has the users that it has on the
	// disk, in a container whose users are others of the machine; nil where they are not.
	Mapped func(source string) ([]string, error)
}

// mapped adds the options for the mount's source; none where nobody is mapped.
func (r *Request) mapped(m *specs.Mount) error {
	if r.Mapped == nil {
		return nil
	}
	options, err := r.Mapped(m.Source)
	m.Options = append(m.Options, options...)
	return err
}

// Mounts is what a container mounts.
type Mounts struct {
	List      []specs.Mount
	Anonymous map[string]string // target -> volume that nobody named
	LeftOut   []string          // targets of mounts whose source is not there
	Binds     map[string]string // target of a bind mount -> what its source is

	images int // that are mounted
}

// isOverlay says that mounts are one of several layers.
func isOverlay(layers []mount.Mount) bool { return len(layers) == 1 && layers[0].Type == "overlay" }

// Mounts gives the mounts that a service's volumes and tmpfs keys, and the
// image's VOLUMEs, ask for. Volumes are made and filled as needed, and kept from
// being removed until Release. Mounts are ordered so that an outer one never
// covers an inner one. With an error comes what was made until then.
func (v *Store) Mounts(ctx context.Context, req *Request) (Mounts, error) {
	s := req.Applied.Service
	out := Mounts{Anonymous: maps.Clone(req.Anonymous), Binds: map[string]string{}}
	taken := map[string]bool{}
	for i, m := range req.Applied.Mounts() {
		taken[filepath.Clean(m.Target)] = true
		if _, err := os.Lstat(filepath.Clean(m.Source)); m.Mount.IsForeign() && errors.Is(err, fs.ErrNotExist) {
			out.LeftOut = append(out.LeftOut, m.Target) // the plan has told of it
			continue
		}
		om, err := v.mount(ctx, req, &out, m)
		if isPlaced(m.Mount) {
			om.Source = v.placeOf(req.Container, i)
		}
		if err != nil {
			return out, &MountError{Service: req.Service, Source: m.Source, Target: m.Target, Err: err}
		}
		if m.Type == spec.MountBind {
			out.Binds[m.Target] = kindOf(m.Source)
		}
		out.List = append(out.List, om)
	}
	for _, t := range s.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		taken[filepath.Clean(target)] = true
		out.List = append(out.List, tmpfsMount(target, options))
	}
	for _, target := range req.ImageVolumes {
		target = filepath.Clean("/" + target)
		if taken[target] || target == "/" {
			continue
		}
		om, err := v.mount(ctx, req, &out, planner.Mounted{Mount: spec.Mount{Type: spec.MountVolume, Target: target}})
		if err != nil {
			return out, err
		}
		out.List = append(out.List, om)
	}
	slices.SortStableFunc(out.List, func(a, b specs.Mount) int {
		return strings.Count(filepath.Clean(a.Destination), "/") - strings.Count(filepath.Clean(b.Destination), "/")
	})
	return out, nil
}

func (v *Store) mount(ctx context.Context, req *Request, made *Mounts, m planner.Mounted) (specs.Mount, error) {
	access := "rw"
	if m.ReadOnly || m.Type == spec.MountImage {
		access = "ro"
	}
	out := specs.Mount{Destination: m.Target, Type: "bind"}
	switch m.Type {
	case spec.MountTmpfs:
		return tmpfsMount(m.Target, tmpfsOptions(m.Mount)), nil
	case spec.MountBind:
		propagation := "rprivate"
		if m.Bind != nil && m.Bind.Propagation != "" {
			propagation = m.Bind.Propagation
		}
		out.Source, out.Options = m.Source, append(recursive(m.Mount), access, propagation)
		if err := ensureBindSource(ctx, m.Mount, req.Rootfs); err != nil {
			return out, err
		}
		return out, req.mapped(&out)
	case spec.MountImage: // its source is a place of ours, like that of a path inside a volume
		out.Options = []string{"rbind", access, "rprivate"}
		made.images++
		if req.Mapped == nil {
			return out, nil
		}
		layers, err := v.views(ctx, req.Container, made.images-1)
		if err == nil && !isOverlay(layers) { // of those that are, the layers are mapped
			out.Options = append(out.Options, "idmap")
		}
		return out, err
	case spec.MountVolume:
		vol, err := v.claimMounted(req, made, m)
		if err != nil {
			return out, err
		}
		if err := v.attach(vol); err != nil {
			return out, err
		}
		if !isPlaced(m.Mount) && !m.Inherited && (m.Mount.Volume == nil || !m.Mount.Volume.NoCopy) {
			if err := v.fill(ctx, vol, req.Rootfs, m.Target); err != nil {
				return out, err
			}
		}
		out.Source = v.Path(vol.Name)
		out.Options = []string{"rbind", access, "rprivate"}
		return out, req.mapped(&out)
	}
	return out, fmt.Errorf("type %q is not supported", m.Type)
}

// recursive are the options of what is mounted below a directory. Recursively read-only
// is for kernels that know it; asked for, it is for runc to say that this one does not.
func recursive(m spec.Mount) []string {
	how := ""
	if m.Bind != nil {
		how = m.Bind.Recursive
	}
	switch {
	case how == spec.RecursiveDisabled:
		return []string{"bind"}
	case how == spec.RecursiveReadOnly, m.ReadOnly && how != spec.RecursiveWritable && setsAttributes():
		return []string{"rbind", "rro"}
	}
	return []string{"rbind"}
}

// setsAttributes says whether the kernel sets attributes of mounts with what is below.
func setsAttributes() bool {
	err := unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{})
	return !errors.Is(err, unix.ENOSYS)
}

// claimMounted is the volume behind a mount: the declared one, or one of the
// container's own that nobody named.
func (v *Store) claimMounted(req *Request, made *Mounts, m planner.Mounted) (*Volume, error) {
	switch {
	case m.Volume != "":
		return v.claim(req.Container, &Volume{Name: m.Volume, Project: req.Project, Key: m.Source})
	case m.Source != "":
		return nil, fmt.Errorf("no volume named %q", m.Source)
	}
	name := made.Anonymous[m.Target]
	if name == "" {
		name = newName()
		if made.Anonymous == nil {
			made.Anonymous = map[string]string{}
		}
		made.Anonymous[m.Target] = name
	}
	vol := &Volume{Name: name, Project: req.Project, Anonymous: true}
	if m.Mount.Volume != nil && len(m.Mount.Volume.Labels) > 0 {
		vol.Applied = &spec.Volume{Name: name, Labels: m.Mount.Volume.Labels}
	}
	return v.claim(req.Container, vol)
}

// newName is the name of a volume that nobody named: as Docker makes them, 64
// hexadecimal digits.
func newName() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// tmpfsOptions are those of a mount of the long form.
func tmpfsOptions(m spec.Mount) string {
	var options []string
	if m.ReadOnly {
		options = append(options, "ro")
	}
	if m.Tmpfs != nil && m.Tmpfs.Size > 0 {
		options = append(options, "size="+strconv.FormatInt(int64(m.Tmpfs.Size), 10))
	}
	if m.Tmpfs != nil && m.Tmpfs.Mode != 0 {
		options = append(options, "mode="+strconv.FormatUint(uint64(m.Tmpfs.Mode), 8))
	}
	return strings.Join(options, ",")
}

func tmpfsMount(target, options string) specs.Mount {
	list := []string{"noexec", "nosuid", "nodev"}
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "":
		case "exec", "suid", "dev", "rw":
			list = slices.DeleteFunc(list, func(have string) bool { return have == "no"+o })
		default:
			if !slices.Contains(list, o) {
				list = append(list, o)
			}
		}
	}
	return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: list}
}
