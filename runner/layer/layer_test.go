package layer

import (
	"reflect"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
)

// TestWhatIsMadeForMountsIsNoChange: but what else is in such a directory is one.
func TestWhatIsMadeForMountsIsNoChange(t *testing.T) {
	list := []Change{
		{Kind: Added, Path: "/data"},
		{Kind: Changed, Path: "/etc"},
		{Kind: Added, Path: "/etc/hosts", IsFile: true},
		{Kind: Added, Path: "/mnt2"},
		{Kind: Added, Path: "/run"},
		{Kind: Added, Path: "/run/secrets"},
		{Kind: Added, Path: "/run/secrets/key", IsFile: true},
		{Kind: Added, Path: "/srv"},
		{Kind: Added, Path: "/srv/app"},
		{Kind: Added, Path: "/srv/log", IsFile: true, Size: 7},
		{Kind: Deleted, Path: "/tmp/x"},
		{Kind: Added, Path: "/vol"},
		{Kind: Added, Path: "/vol/own", IsFile: true},
	}
	got := withoutMounts(list, []string{"/data", "/etc/hosts", "/mnt", "/run/secrets/key", "/srv/app/", "/vol"})
	var paths []string
	for _, c := range got {
		paths = append(paths, c.Path)
	}
	if want := []string{"/etc", "/mnt2", "/srv", "/srv/log", "/tmp/x", "/vol", "/vol/own"}; !reflect.DeepEqual(paths, want) {
		t.Errorf("left are %v", paths)
	}
}

func TestLayersOfMounts(t *testing.T) {
	for _, c := range []struct {
		m    mount.Mount
		want Layer
	}{
		{mount.Mount{Type: "overlay", Options: []string{"index=off", "workdir=/w", "upperdir=/u", "lowerdir=/b:/a"}}, Layer{Upper: "/u", Lower: []string{"/b", "/a"}}},
		{mount.Mount{Type: "overlay", Options: []string{"lowerdir=/b:/a"}}, Layer{Lower: []string{"/b", "/a"}}},
		{mount.Mount{Type: "bind", Source: "/u", Options: []string{"rbind", "rw"}}, Layer{Upper: "/u"}},
		{mount.Mount{Type: "bind", Source: "/a", Options: []string{"rbind", "ro"}}, Layer{Lower: []string{"/a"}}},
	} {
		if got, err := Of([]mount.Mount{c.m}); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, %v", c.m, got, err)
		}
	}
	if _, err := Of(nil); err == nil {
		t.Error("no mount is a layer")
	}
}
