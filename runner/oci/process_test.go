package oci

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// TestExec: what a process that joins a container has of the container's own.
func TestExec(t *testing.T) {
	own := &specs.Process{
		Args: []string{"/bin/app"}, Env: []string{"A=1"}, Cwd: "/srv", Terminal: true, User: specs.User{UID: 1000, GID: 100},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}, Effective: []string{"CAP_KILL"}},
	}
	for name, c := range map[string]struct {
		exec     Exec
		env      string
		cwd      string
		uid      uint32
		caps     []string // effective
		bounding []string
	}{
		"as the container":  {Exec{}, "A=1", "/srv", 1000, nil, []string{"CAP_CHOWN"}},
		"with a terminal":   {Exec{Terminal: true, Env: []string{"B=2"}}, "TERM=xterm A=1 B=2", "/srv", 1000, nil, []string{"CAP_CHOWN"}},
		"elsewhere":         {Exec{Cwd: "/tmp"}, "A=1", "/tmp", 1000, nil, []string{"CAP_CHOWN"}},
		"as root":           {Exec{User: &specs.User{}}, "A=1", "/srv", 0, []string{"CAP_CHOWN"}, []string{"CAP_CHOWN"}},
		"with all there is": {Exec{Privileged: true}, "A=1", "/srv", 1000, allCaps(), allCaps()},
	} {
		c.exec.Args = []string{"sh"}
		p := c.exec.Process(own)
		if !slices.Equal(p.Args, []string{"sh"}) || strings.Join(p.Env, " ") != c.env || p.Cwd != c.cwd || p.User.UID != c.uid || p.Terminal != c.exec.Terminal {
			t.Errorf("%s: %+v", name, p)
		}
		if !slices.Equal(p.Capabilities.Effective, c.caps) || !slices.Equal(p.Capabilities.Bounding, c.bounding) || len(p.Capabilities.Ambient) > 0 {
			t.Errorf("%s: it may %+v", name, p.Capabilities)
		}
	}
	if own.Args[0] != "/bin/app" || len(own.Env) != 1 || own.Capabilities.Effective[0] != "CAP_KILL" {
		t.Errorf("the container's own is changed: %+v", own)
	}
}

// A limit that is taken away in place is lifted, not left; what was never said is left
// alone, as the engine's own control group may have less.
func TestLimitsInPlaceAndForTheNextStart(t *testing.T) {
	none := &spec.Service{}
	res := Limits(none, none)
	if *res.Memory.Limit != -1 || *res.CPU.Quota != -1 || *res.Pids.Limit != pidsDefault || res.Devices != nil {
		t.Errorf("of no limits: %+v", res)
	}
	if res.CPU.Shares != nil || res.CPU.Cpus != "" || res.Memory.Reservation != nil || res.Unified != nil {
		t.Errorf("what nobody said is set: %+v %+v", res.CPU, res.Memory)
	}
	all := &spec.Service{MemLimit: 64 << 20, CPUs: 0.5, PidsLimit: -1, CPUSet: "0", CPUShares: 2, MemReservation: 1 << 20}
	res = Limits(all, none)
	if *res.Memory.Limit != 64<<20 || *res.CPU.Quota != 50_000 || *res.Pids.Limit != -1 || res.CPU.Cpus != "0" || *res.CPU.Shares != 2 {
		t.Errorf("of limits: %+v", res)
	}
	res = Limits(none, all)
	if *res.CPU.Shares != 1024 || res.CPU.Cpus != processors() || res.Memory.Reservation == nil {
		t.Errorf("limits are left: %+v %+v", res.CPU, res.Memory)
	}
	deploy := &spec.Deploy{Resources: &spec.Resources{
		Limits:       &spec.ResourceLimits{Memory: 32 << 20, CPUs: 0.25, Pids: 7},
		Reservations: &spec.ResourceReservations{Memory: 16 << 20},
	}}
	res = Limits(&spec.Service{Deploy: deploy}, none)
	if *res.Memory.Limit != 32<<20 || *res.Memory.Reservation != 16<<20 || *res.CPU.Quota != 25_000 || *res.Pids.Limit != 7 {
		t.Errorf("of deploy.resources: %+v", res)
	}
	doc := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{}, BlockIO: &specs.LinuxBlockIO{}}}}
	doc.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	SetLimits(doc, &spec.Service{CPUs: 2})
	if got := doc.Linux.Resources; got.Memory != nil || *got.CPU.Quota != 200_000 || len(got.Devices) != 1 || !got.Devices[0].Allow || got.BlockIO == nil {
		t.Errorf("for the next start: %+v", got)
	}
}

// TestADocumentOfAnEarlierEngineIsRenewed: without a score its process would be spared
// as the shim is, and without a limit on core dumps it would have the engine's.
func TestADocumentOfAnEarlierEngineIsRenewed(t *testing.T) {
	t.Setenv("ORLOP_CORE_LIMIT", "12345")
	old := &specs.Spec{
		Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}},
		Mounts: []specs.Mount{{Destination: "/dev/init", Source: "/old"}, {Destination: "/x", Source: "/y"}},
	}
	changed, err := Renew(old, "web", &spec.Service{}, "/new")
	if err != nil || !changed || old.Mounts[0].Source != "/new" || old.Mounts[1].Source != "/y" || old.Process.OOMScoreAdj == nil || len(old.Process.Rlimits) != 1 {
		t.Errorf("it becomes %+v %+v: %v, %v", old.Process, old.Mounts, changed, err)
	}
	if changed, err = Renew(old, "web", &spec.Service{}, "/new"); changed || err != nil {
		t.Errorf("a second time: %v, %v", changed, err)
	}
	gone := &spec.Service{BlkioConfig: &spec.BlkioConfig{DeviceReadBps: []spec.DeviceRate{{Path: "/dev/null", Rate: 1}}}}
	if _, err = Renew(old, "web", gone, "/new"); err == nil || err.Error() != "services.web.blkio_config.device_read_bps[0].path: cannot limit /dev/null: it is no block device" {
		t.Errorf("of a disk that is none: %v", err)
	}
}

func TestComplaintsNameTheirPlace(t *testing.T) {
	places := spec.PlacesOf(map[string]spec.Place{"services.web.ulimits.nofile": {File: "stack.yaml", Line: 3, Column: 5}})
	for got, want := range map[string]string{
		Warning{"ulimits.nofile", "it is cut"}.Placed("web", places):                                                        "services.web.ulimits.nofile: it is cut (stack.yaml:3:5)",
		Warning{"ulimits.nofile", "it is cut"}.Placed("db", places):                                                         "services.db.ulimits.nofile: it is cut",
		(&KeyError{Service: "web", Key: "user", Text: "no"}).Error():                                                        "services.web.user: no",
		(&KeyError{Service: "web", Key: "cpus", Text: "no", Place: spec.Place{File: "s.yaml", Line: 1, Column: 2}}).Error(): "services.web.cpus (s.yaml:1:2): no",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAServiceThatCannotBeIsRefused(t *testing.T) {
	for want, s := range map[string]*spec.Service{
		"no capability named CAP_FLY": {CapAdd: []string{"FLY"}},
		`no ulimit named "wings"`:     {Ulimits: map[string]*spec.Ulimit{"wings": {}}},
	} {
		in := Input{Service: s, Image: imageOf(), Args: []string{"x"}}
		if _, _, err := Document(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestWhoMayWhat: the capabilities that a first process begins with.
func TestWhoMayWhat(t *testing.T) {
	for name, c := range map[string]struct {
		uid        uint32
		privileged bool
		effective  bool
		bounding   bool // all that can be given
	}{
		"root":                           {0, false, true, false},
		"somebody":                       {1000, false, false, false},
		"root of a privileged container": {0, true, true, true},
		"somebody of a privileged one":   {1000, true, true, true},
	} {
		doc, _, err := Document(Input{Service: &spec.Service{Privileged: c.privileged}, Image: imageOf(), Args: []string{"x"}, User: specs.User{UID: c.uid}})
		if err != nil {
			t.Fatal(err)
		}
		got := doc.Process.Capabilities
		if (len(got.Effective) > 0) != c.effective || (len(got.Permitted) > 0) != c.effective || slices.Equal(got.Bounding, allCaps()) != c.bounding && len(allCaps()) > len(defaultCaps) {
			t.Errorf("%s may %+v", name, got)
		}
		if len(got.Ambient)+len(got.Inheritable) > 0 {
			t.Errorf("%s: a program inherits %+v", name, got)
		}
		if masked := len(doc.Linux.MaskedPaths) > 0; masked == c.privileged {
			t.Errorf("%s: paths are masked: %t", name, masked)
		}
	}
}

// The user's word wins over the image's, and the home directory is known.
func TestEnvironmentOfADocument(t *testing.T) {
	image := imageOf()
	image.Env, image.WorkingDir = []string{"PATH=/bin", "MODE=image"}, "app"
	mode := "service"
	in := Input{
		Service: &spec.Service{Environment: map[string]*string{"MODE": &mode, "HOME": nil}, NetworkMode: "host"}, Image: image,
		Args: []string{"x"}, Home: "/home/app", Hostname: "c0ffee",
	}
	doc, _, err := Document(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(doc.Process.Env, " "); got != "HOME=/home/app HOSTNAME=c0ffee MODE=service PATH=/bin" {
		t.Errorf("the environment is %s", got)
	}
	if doc.Hostname != "" || doc.Process.Cwd != "/app" || len(doc.Linux.Sysctl) > 0 {
		t.Errorf("on the host's network its name is %q, in %s, with %v", doc.Hostname, doc.Process.Cwd, doc.Linux.Sysctl)
	}
}
