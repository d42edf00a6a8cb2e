package runner

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// volumeMounts gives the mounts that a service's volumes and tmpfs keys, and
// the image's VOLUMEs, ask for. Volumes are made and filled as needed.
// Mounts are ordered so that an outer one never covers an inner one.
func (r *Runner) volumeMounts(ctx context.Context, rec *record, imageVolumes []string, rootfs []mount.Mount) ([]specs.Mount, error) {
	s := rec.Applied.Service
	var mounts []specs.Mount
	taken := map[string]bool{}
	for i, m := range s.Volumes {
		taken[filepath.Clean(m.Target)] = true
		if planner.IsForeign(m) && !exists(m.Source) {
			rec.LeftOut = append(rec.LeftOut, m.Target) // the plan has told of it
			continue
		}
		om, err := r.volumeMount(ctx, rec, m, rootfs)
		if isSubpath(m) {
			om.Source = r.subpathPlace(rec.ID, i)
		}
		if err != nil {
			return nil, &MountError{Service: rec.Service, Source: m.Source, Target: m.Target, Err: err}
		}
		mounts = append(mounts, om)
	}
	for _, t := range s.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		taken[filepath.Clean(target)] = true
		mounts = append(mounts, tmpfsMount(target, options))
	}
	for _, target := range imageVolumes {
		target = filepath.Clean("/" + target)
		if taken[target] || target == "/" {
			continue
		}
		om, err := r.volumeMount(ctx, rec, spec.Mount{Type: spec.MountVolume, Target: target}, rootfs)
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, om)
	}
	slices.SortStableFunc(mounts, func(a, b specs.Mount) int {
		return strings.Count(filepath.Clean(a.Destination), "/") - strings.Count(filepath.Clean(b.Destination), "/")
	})
	return mounts, nil
}

func (r *Runner) volumeMount(ctx context.Context, rec *record, m spec.Mount, rootfs []mount.Mount) (specs.Mount, error) {
	access := "rw"
	if m.ReadOnly {
		access = "ro"
	}
	out := specs.Mount{Destination: m.Target, Type: "bind"}
	switch m.Type {
	case spec.MountTmpfs:
		return tmpfsMount(m.Target, tmpfsOptions(m)), nil
	case spec.MountBind:
		propagation := "rprivate"
		if m.Bind != nil && m.Bind.Propagation != "" {
			propagation = m.Bind.Propagation
		}
		out.Source, out.Options = m.Source, []string{"rbind", access, propagation}
		return out, ensureBindSource(ctx, m, rootfs)
	case spec.MountVolume:
		vol, err := r.ensureMountVolume(rec, m)
		if err != nil {
			return out, err
		}
		if !isSubpath(m) && (m.Volume == nil || !m.Volume.NoCopy) {
			if err := r.volumes.fill(ctx, vol, rootfs, m.Target); err != nil {
				return out, err
			}
		}
		out.Source, out.Options = r.volumes.data(vol.Name), []string{"rbind", access, "rprivate"}
		return out, nil
	}
	return out, fmt.Errorf("type %q is not carried out", m.Type)
}

// ensureMountVolume is the volume behind a mount: the declared one, or one of
// the container's own that nobody named.
func (r *Runner) ensureMountVolume(rec *record, m spec.Mount) (*volume, error) {
	if m.Source != "" {
		name := rec.Applied.Volumes[m.Source]
		if name == "" {
			return nil, fmt.Errorf("no volume named %q", m.Source)
		}
		return r.volumes.claim(rec.ID, &volume{Name: name, Project: rec.Project, Key: m.Source})
	}
	name := rec.Anonymous[m.Target]
	if name == "" {
		name = newID()
		if rec.Anonymous == nil {
			rec.Anonymous = map[string]string{}
		}
		rec.Anonymous[m.Target] = name
	}
	return r.volumes.claim(rec.ID, &volume{Name: name, Project: rec.Project, Anonymous: true})
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
