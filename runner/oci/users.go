package oci

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// MappedMount has the files of a mount belong to whom they belong to on the disk, in a
// container whose users are others of the machine.
const MappedMount = "idmap"

// mapUsers puts a container into the user namespace that owns its network. It is an error if
// there is none: it would have the machine's users.
func mapUsers(doc *specs.Spec, in Input) error {
	ids := in.Service.IDMap()
	if ids == nil {
		return nil
	}
	if in.Users == "" {
		return &KeyError{Service: in.Service.Name, Key: "network_mode", Text: "the engine's userns_remap gives it users of its own, who can't have the machine's network: write userns_mode: host beside it"}
	}
	doc.Linux.Namespaces = append(doc.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: in.Users})
	doc.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(ids.UID), Size: uint32(ids.Size)}}
	doc.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(ids.GID), Size: uint32(ids.Size)}}
	for i, m := range doc.Mounts {
		if m.Destination == "/dev/shm" && m.Type == "bind" {
			doc.Mounts[i].Options = append(m.Options, MappedMount)
		}
	}
	return nil
}

// MapMounts has mounts of the engine's own files mapped for a service whose users are.
func MapMounts(s *spec.Service, mounts []specs.Mount) []specs.Mount {
	if s.IDMap() != nil {
		for i := range mounts {
			mounts[i].Options = append(mounts[i].Options, MappedMount)
		}
	}
	return mounts
}

// Remap gives the bind mount of a source at a target other options by which its files keep
// their owners, and says whether it had others.
func Remap(doc *specs.Spec, source, target string, options []string) (changed bool) {
	for i, m := range doc.Mounts {
		if m.Type != "bind" || m.Source != source || m.Destination != target {
			continue
		}
		isMap := func(option string) bool { return option == MappedMount || option == "r"+MappedMount }
		fresh := append(slices.DeleteFunc(slices.Clone(m.Options), isMap), options...)
		changed = changed || !slices.Equal(fresh, m.Options)
		doc.Mounts[i].Options = fresh
	}
	return changed
}

// JoinNetwork gives a document the network namespace at a path, with the user namespace
// that owns it where it has one; "" is the host's network.
func JoinNetwork(doc *specs.Spec, network, users string) {
	for _, to := range []specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: network}, {Type: specs.UserNamespace, Path: users}} {
		had := len(doc.Linux.Namespaces)
		doc.Linux.Namespaces = slices.DeleteFunc(doc.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == to.Type })
		isMapped := to.Type == specs.UserNamespace && had > len(doc.Linux.Namespaces)
		if to.Path != "" && (to.Type == specs.NetworkNamespace || isMapped) {
			doc.Linux.Namespaces = append(doc.Linux.Namespaces, to)
		}
	}
}
