package manifest

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// preStart are the containers of pre_start, in their order.
func (w *workload) preStart() []any {
	var inits []any
	for i, said := range w.service.PreStart {
		at := fmt.Sprintf("%s.pre_start[%d]", w.path, i)
		first := *said
		first.Deploy, first.Security = w.service.Deploy.OfOne(), w.service.Security // its limits are those of the service
		w.complainOf(at, &first)
		w.complainOfShared(at, &first)
		c := w.container(w.beside(fmt.Sprintf("pre-start-%d", i+1)), at, &first)
		if mounts := w.initMounts(at, &first); len(mounts) > 0 {
			c["volumeMounts"] = mounts
		}
		if !first.PerReplica && w.service.Replicas() > 1 {
			w.warn(at, "on Kubernetes it runs for each pod", "")
		}
		inits = append(inits, c)
	}
	return inits
}

// initMounts are what a container of pre_start mounts: what it says itself, and at all other paths what its service has.
func (w *workload) initMounts(at string, first *spec.Service) []any {
	ofService := w.containerMounts
	w.containerMounts = nil
	for i, m := range first.Volumes {
		w.mount(fmt.Sprintf("%s.volumes[%d]", at, i), m)
	}
	w.inheritedMounts(at, first)
	for i, entry := range first.Tmpfs {
		if !slices.Contains(w.service.Tmpfs, entry) {
			w.tmpfs(fmt.Sprintf("%s.tmpfs[%d]", at, i), entry)
		}
	}
	if first.ShmSize != w.service.ShmSize {
		w.shm(first.ShmSize)
	}
	for _, of := range []struct {
		kind           string
		own, ofService []spec.FileMount
	}{{"configs", first.Configs, w.service.Configs}, {"secrets", first.Secrets, w.service.Secrets}} {
		for i, use := range of.own {
			if !slices.ContainsFunc(of.ofService, func(o spec.FileMount) bool { return reflect.DeepEqual(o, use) }) {
				w.fileMount(fmt.Sprintf("%s.%s[%d]", at, of.kind, i), of.kind, use)
			}
		}
	}
	own := w.containerMounts
	w.containerMounts = ofService
	return append(slices.DeleteFunc(slices.Clone(ofService), func(m any) bool { return isMounted(own, mountPath(m)) }), own...)
}

// inheritedMounts are those that a container of pre_start has by a volumes_from of its own.
func (w *workload) inheritedMounts(at string, first *spec.Service) {
	w.complainOfUnnamed(at, ownSources(w.service, first), first)
	for _, from := range slices.Backward(ownSources(w.service, first)) { // a later one has the say of a path
		other := w.project.Services[from.Service]
		if other == nil {
			continue
		}
		for _, m := range other.Mounts() {
			if m.Source == "" || m.Type == spec.MountTmpfs || isMounted(w.containerMounts, m.Target) {
				continue
			}
			m.ReadOnly = m.ReadOnly || from.ReadOnly
			w.mount(at+".volumes_from", m)
		}
	}
}

func mountPath(m any) string { return m.(map[string]any)["mountPath"].(string) }

func isMounted(mounts []any, target string) bool {
	return slices.ContainsFunc(mounts, func(m any) bool { return path.Clean(mountPath(m)) == path.Clean(target) })
}

// ownSources are the entries of volumes_from that a container of pre_start has and its service has not.
func ownSources(s, first *spec.Service) []spec.VolumesFrom {
	own := *first
	own.VolumesFrom = slices.DeleteFunc(slices.Clone(first.VolumesFrom), func(from string) bool { return slices.Contains(s.VolumesFrom, from) })
	return own.Sources()
}

// Mounts are what the pods of a service mount, its init containers included.
func Mounts(p *spec.Project, s *spec.Service) []spec.Mount {
	all := s.Mounts()
	for _, first := range s.PreStart {
		all = append(all, first.Volumes...)
		for _, from := range ownSources(s, first) {
			if other := p.Services[from.Service]; other != nil {
				all = append(all, other.Mounts()...)
			}
		}
	}
	return all
}

// complainOfShared refuses or warns of what a container of pre_start has otherwise than its service, though the containers of a pod share it.
func (w *workload) complainOfShared(at string, first *spec.Service) {
	differs := func(a, b any) bool {
		x, y := reflect.ValueOf(a), reflect.ValueOf(b)
		if k := x.Kind(); (k == reflect.Map || k == reflect.Slice) && x.Len() == 0 && y.Len() == 0 {
			return false
		}
		return !reflect.DeepEqual(a, b)
	}
	s := w.service
	const hint = "write it in the service, all of whose containers have it then"
	for _, of := range []struct {
		key       string
		own, ofIt any
		isWeak    bool // what it runs with is the same without it
	}{
		{"network_mode", first.NetworkMode, s.NetworkMode, false},
		{"networks", keysOf(first.Networks), keysOf(s.Networks), false},
		{"hostname", first.Hostname, s.Hostname, true},
		{"domainname", first.Domainname, s.Domainname, true},
		{"extra_hosts", first.ExtraHosts, s.ExtraHosts, false},
		{"dns", first.DNS, s.DNS, false},
		{"dns_search", first.DNSSearch, s.DNSSearch, false},
		{"dns_opt", first.DNSOpt, s.DNSOpt, false},
		{"group_add", first.GroupAdd, s.GroupAdd, false},
		{"sysctls", first.Sysctls, s.Sysctls, false},
		{"pid", first.PID, s.PID, false},
		{"ipc", first.IPC, s.IPC, false},
		{"platform", first.Platform, s.Platform, false},
		{"runtime", first.OtherRuntime(), s.OtherRuntime(), false},
		{"init", first.Init != nil && *first.Init, s.Init != nil && *s.Init, true},
		{"stop_grace_period", first.StopGrace, s.StopGrace, true},
		{"labels", first.Labels, s.Labels, true},
		{"annotations", first.Annotations, s.Annotations, true},
	} {
		switch {
		case !differs(of.own, of.ofIt):
		case of.isWeak:
			w.warn(at+"."+of.key, "all containers of a pod share it: that of the service is used", "")
		default:
			w.refuse(at+"."+of.key, "all containers of a pod share it on Kubernetes, and the service has it otherwise", hint)
		}
	}
	if first.Extensions[settingsKey] != nil {
		w.warn(at+"."+settingsKey, "it is read of services, jobs and volumes alone", "")
	}
}

func keysOf(networks map[string]*spec.ServiceNetwork) []string {
	var keys []string
	for key := range networks {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// isSaidOfService says that a complaint of a container of pre_start is of what the service says, and was told of that.
func (b *build) isSaidOfService(d spec.Diagnostic) bool {
	service, rest, isInit := strings.Cut(d.Path, ".pre_start[")
	_, key, hasKey := strings.Cut(rest, "].")
	return isInit && hasKey && slices.ContainsFunc(b.found, func(o spec.Diagnostic) bool {
		of, is := strings.CutPrefix(o.Path, service+".")
		return is && o.Message == d.Message && o.Place == d.Place && withoutIndex(of) == withoutIndex(key)
	})
}

// withoutIndex is a path without the number at its end: in a list that was merged an entry has another one.
func withoutIndex(path string) string {
	path, _, _ = strings.Cut(path, "[")
	return path
}
