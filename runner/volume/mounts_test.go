package volume

import (
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestTmpfsMount(t *testing.T) {
	for options, want := range map[string]string{
		"":                   "noexec nosuid nodev",
		"size=64m,mode=1777": "noexec nosuid nodev size=64m mode=1777",
		"exec":               "nosuid nodev",
		"exec,suid,dev":      "",
		"rw,noexec":          "noexec nosuid nodev",
		"ro,uid=1000":        "noexec nosuid nodev ro uid=1000",
		",size=1k,":          "noexec nosuid nodev size=1k",
	} {
		m := tmpfsMount("/run", options)
		if got := strings.Join(m.Options, " "); got != want || m.Destination != "/run" || m.Type != "tmpfs" {
			t.Errorf("%q: %q, want %q (%+v)", options, got, want, m)
		}
	}
}

func TestATmpfsOfTheLongFormHasItsOptions(t *testing.T) {
	for want, m := range map[string]spec.Mount{
		"":                    {},
		"ro":                  {ReadOnly: true},
		"ro,size=1024":        {ReadOnly: true, Tmpfs: &spec.TmpfsOpts{Size: 1024}},
		"size=1024,mode=1777": {Tmpfs: &spec.TmpfsOpts{Size: 1024, Mode: 0o1777}},
	} {
		if got := tmpfsOptions(m); got != want {
			t.Errorf("%+v: %q, want %q", m, got, want)
		}
	}
}

// TestMountsOfAService: which mounts a service gets, in which order, and which
// volumes are made for them.
func TestMountsOfAService(t *testing.T) {
	v := with(t)
	host := t.TempDir()
	service := &spec.Service{
		Volumes: []spec.Mount{
			{Type: spec.MountVolume, Source: "data", Target: "/srv/data/", Volume: &spec.VolumeOpts{NoCopy: true}},
			{Type: spec.MountBind, Source: host, Target: "/srv", ReadOnly: true, Bind: &spec.BindOptions{Propagation: "rshared", Recursive: spec.RecursiveWritable}},
			{Type: spec.MountVolume, Target: "/nameless", Volume: &spec.VolumeOpts{NoCopy: true}},
			{Type: spec.MountVolume, Source: "data", Target: "/part", Volume: &spec.VolumeOpts{Subpath: "in/it"}},
		},
		Tmpfs: []string{"/tmp:size=1m"},
	}
	req := &Request{
		Container: "c1", Project: "shop", Service: "web",
		Applied:      &planner.Applied{Service: service, Volumes: map[string]string{"data": "shop_data"}},
		ImageVolumes: []string{"/", "nameless", "srv/data"}, Anonymous: map[string]string{"/nameless": "before"},
	}
	got, err := v.Mounts(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range got.List {
		list = append(list, m.Destination+" "+m.Type+" "+strings.Replace(m.Source, v.dir, "VOLUMES", 1)+" "+strings.Join(m.Options, ","))
	}
	want := []string{
		"/srv bind " + host + " rbind,ro,rshared",
		"/nameless bind VOLUMES/before/_data rbind,rw,rprivate",
		"/part bind " + v.placeOf("c1", 3) + " rbind,rw,rprivate",
		"/tmp tmpfs tmpfs noexec,nosuid,nodev,size=1m",
		"/srv/data/ bind VOLUMES/shop_data/_data rbind,rw,rprivate",
	}
	if !slices.Equal(list, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(list, "\n"), strings.Join(want, "\n"))
	}
	if have := names(v); !slices.Equal(have, []string{"shop_data"}) || len(v.List()) != 2 {
		t.Errorf("volumes %v are made, %d in all", have, len(v.List()))
	}
	if err := v.Remove("shop_data"); err == nil {
		t.Error("a volume of a container that is being made is removed")
	}
}

// A volume that nobody named has a name of its own, and is the container's.
func TestMountsThatNobodyNamed(t *testing.T) {
	v := with(t)
	mounts := []spec.Mount{{Type: spec.MountVolume, Target: "/x", Volume: &spec.VolumeOpts{NoCopy: true}}}
	req := &Request{Container: "c1", Service: "web", Applied: &planner.Applied{Service: &spec.Service{Volumes: mounts}}}
	got, err := v.Mounts(t.Context(), req)
	if name := got.Anonymous["/x"]; err != nil || len(name) != 64 || got.List[0].Source != v.Path(name) {
		t.Errorf("got %+v, %v", got, err)
	}
	if req.Anonymous != nil {
		t.Error("the caller's own are changed")
	}
}

// With an error comes what was made by then, and which mount is to blame.
func TestAMountThatCannotBe(t *testing.T) {
	for want, bad := range map[string]spec.Mount{
		"cannot mount nosuch at /bad for web: no volume named \"nosuch\"": {Type: spec.MountVolume, Source: "nosuch", Target: "/bad"},
		"cannot mount /nosuch at /bad for web: it does not exist: make it, or set bind.create_host_path: true": {
			Type: spec.MountBind, Source: "/nosuch", Target: "/bad"},
		"cannot mount /bad for web: type \"cluster\" is not supported": {Type: "cluster", Target: "/bad"},
	} {
		v := with(t)
		mounts := []spec.Mount{{Type: spec.MountVolume, Target: "/x", Volume: &spec.VolumeOpts{NoCopy: true}}, bad}
		got, err := v.Mounts(t.Context(), &Request{Service: "web", Applied: &planner.Applied{Service: &spec.Service{Volumes: mounts}}})
		if err == nil || err.Error() != want || got.Anonymous["/x"] == "" {
			t.Errorf("got %+v, %v; want %s", got, err, want)
		}
	}
}

func TestWhatIsMountedBelowComesAsAsked(t *testing.T) {
	below := "rbind"
	if setsAttributes() {
		below = "rbind rro"
	}
	for how, want := range map[string][2]string{ // read-only, or not
		"": {below, "rbind"}, spec.RecursiveEnabled: {below, "rbind"}, spec.RecursiveWritable: {"rbind", "rbind"},
		spec.RecursiveDisabled: {"bind", "bind"}, spec.RecursiveReadOnly: {"rbind rro", "rbind rro"},
	} {
		for i, readOnly := range []bool{true, false} {
			m := spec.Mount{ReadOnly: readOnly, Bind: &spec.BindOptions{Recursive: how}}
			if got := strings.Join(recursive(m), " "); got != want[i] {
				t.Errorf("%q, read-only %t: %q, want %q", how, readOnly, got, want[i])
			}
		}
	}
}
