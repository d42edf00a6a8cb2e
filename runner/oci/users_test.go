package oci

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// TestUsersOfItsOwnNeedANetworkOfThem: without their namespace it would run as the machine's.
func TestUsersOfItsOwnNeedANetworkOfThem(t *testing.T) {
	mapped := &spec.Service{Name: "web", UsernsMode: (&spec.IDMap{UID: 100000, GID: 100000, Size: 65536}).String()}
	var wrong *KeyError
	doc := &specs.Spec{Linux: &specs.Linux{}}
	if err := mapUsers(doc, Input{Service: mapped}); !errors.As(err, &wrong) || wrong.Key != "network_mode" {
		t.Errorf("without a namespace: %v", err)
	}
	if err := mapUsers(doc, Input{Service: mapped, Users: "/n.users"}); err != nil || len(doc.Linux.UIDMappings) != 1 || doc.Linux.Namespaces[0].Path != "/n.users" {
		t.Errorf("with one: %+v, %v", doc.Linux, err)
	}
	if err := mapUsers(&specs.Spec{}, Input{Service: &spec.Service{}}); err != nil {
		t.Error(err)
	}
}

// TestAJoinedNetworkIsStoredInOneOrder: what differs in nothing else is the same document.
func TestAJoinedNetworkIsStoredInOneOrder(t *testing.T) {
	want := []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: "/n"}, {Type: specs.UserNamespace, Path: "/n.users"}}
	for range 64 {
		doc := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.UserNamespace, Path: "/o.users"}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace, Path: "/o"},
		}}}
		JoinNetwork(doc, "/n", "/n.users")
		if !reflect.DeepEqual(doc.Linux.Namespaces, want) {
			t.Fatalf("they are %+v", doc.Linux.Namespaces)
		}
	}
}

func TestAMountIsMappedAnew(t *testing.T) {
	doc := &specs.Spec{Mounts: []specs.Mount{
		{Destination: "/files", Type: "bind", Source: "/s", Options: []string{"rbind", "ridmap", "rw"}},
		{Destination: "/own", Type: "bind", Source: "/o", Options: []string{"rbind", "idmap"}},
	}}
	for _, c := range []struct {
		options []string
		changed bool
	}{{[]string{"ridmap"}, true}, {[]string{"ridmap"}, false}, {[]string{"idmap"}, true}, {nil, true}, {nil, false}, {[]string{"ridmap"}, true}} {
		if changed := Remap(doc, "/s", "/files", c.options); changed != c.changed {
			t.Errorf("%q: changed %t", c.options, changed)
		}
		if got := doc.Mounts[0].Options; !slices.Equal(got, append([]string{"rbind", "rw"}, c.options...)) {
			t.Errorf("%q: %q", c.options, got)
		}
	}
	if Remap(doc, "/other", "/files", nil) || len(doc.Mounts[1].Options) != 2 {
		t.Error("another mount was changed")
	}
}
