package oci

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

var update = flag.Bool("update", false, "write the golden documents anew")

// TestDocuments holds the OCI documents to those of testdata/oci. What depends
// on the machine (the seccomp profile, the host's devices, its capabilities
// and cgroups) is checked apart.
func TestDocuments(t *testing.T) {
	yes := true
	for name, in := range map[string]Input{
		"default":    {Service: &spec.Service{}},
		"user":       {Service: &spec.Service{}, User: specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{100, 27}}, Home: "/home/app"},
		"host":       {Service: &spec.Service{NetworkMode: "host"}, Netns: "-"},
		"privileged": {Service: &spec.Service{Privileged: true}},
		"tight": {Service: &spec.Service{
			ReadOnly: true, CapDrop: []string{"ALL"}, CapAdd: []string{"chown"}, MemLimit: 64 << 20, CPUs: 0.5, PidsLimit: 10,
			Ulimits: map[string]*spec.Ulimit{"nofile": {Soft: 10, Hard: 20}, "core": {}, "nproc": {Single: 7}},
		}},
		"hardened": {Service: &spec.Service{Security: spec.SecurityHardened, CapAdd: []string{"NET_RAW"}}, Mounts: []specs.Mount{{Destination: "/run/secrets/x", Type: "bind", Source: "/s"}, {Destination: "/tmp/", Type: "bind", Source: "/t"}}},
		"init":     {Service: &spec.Service{PidsLimit: -1, Init: &yes}, Init: "/usr/libexec/orlop/orlopd", Terminal: true, Mounts: []specs.Mount{{Destination: "/data", Type: "bind", Source: "/v"}}},
	} {
		t.Run(name, func(t *testing.T) {
			in.Args, in.Image, in.Hostname, in.CgroupPath = []string{"/bin/app", "-v"}, &dockerspec.DockerOCIImageConfig{}, "c0ffee", "/orlop/c0ffee"
			in.Image.Env = []string{"PATH=/bin"}
			switch in.Netns {
			case "":
				in.Netns = "/run/orlop/netns/x"
			case "-":
				in.Netns = ""
			}
			doc, warnings, err := Document(in)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			if m := doc.Linux.Resources.Memory; m != nil {
				if twice := m.Swap != nil && *m.Swap == 2**m.Limit; twice != countsSwap() {
					t.Errorf("of %d bytes of memory, swap is %v", *m.Limit, m.Swap)
				}
				m.Swap = nil // as this machine has it
			}
			compareDocument(t, filepath.Join("testdata", name+".json"), doc, in.Service.Privileged)
		})
	}
}

func compareDocument(t *testing.T, path string, doc *specs.Spec, privileged bool) {
	t.Helper()
	caps := doc.Process.Capabilities
	if privileged {
		if !slices.Equal(caps.Bounding, allCaps()) || doc.Linux.Seccomp != nil || len(doc.Linux.MaskedPaths)+len(doc.Linux.ReadonlyPaths) > 0 {
			t.Error("a privileged container is held back")
		}
		doc.Process.Capabilities, doc.Linux.Devices = nil, nil
	} else {
		if doc.Linux.Seccomp == nil || doc.Linux.Seccomp.DefaultAction != specs.ActErrno {
			t.Error("there is no seccomp profile that denies by default")
		}
		if slices.Contains(doc.Linux.Seccomp.Architectures, specs.ArchX32) || runtime.GOARCH == "amd64" && len(doc.Linux.Seccomp.Architectures) != 2 {
			t.Errorf("the seccomp profile is for %v", doc.Linux.Seccomp.Architectures)
		}
		doc.Linux.Seccomp = nil
		doc.Linux.MaskedPaths = slices.DeleteFunc(doc.Linux.MaskedPaths, func(p string) bool { return strings.Contains(p, "thermal_throttle") })
	}
	doc.Linux.Namespaces = slices.DeleteFunc(doc.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace })
	got, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the document is not that of %s (-update writes it):\n%s", path, got)
	}
}

func TestCapabilities(t *testing.T) {
	if len(allCaps()) < len(defaultCaps) {
		t.Skip("needs a process whose bounding set is whole: this one may not have Docker's default capabilities")
	}
	without := func(names ...string) []string {
		var list []string
		for _, c := range allCaps() {
			if slices.Contains(defaultCaps, c) && !slices.Contains(names, c) {
				list = append(list, c)
			}
		}
		return list
	}
	for name, test := range map[string]struct {
		service spec.Service
		want    []string
		err     string
	}{
		"default":           {spec.Service{}, without(), ""},
		"drop":              {spec.Service{CapDrop: []string{"MKNOD", "cap_net_raw"}}, without("CAP_MKNOD", "CAP_NET_RAW"), ""},
		"drop all":          {spec.Service{CapDrop: []string{"ALL"}}, nil, ""},
		"drop all, add":     {spec.Service{CapDrop: []string{"all"}, CapAdd: []string{"chown"}}, []string{"CAP_CHOWN"}, ""},
		"add all":           {spec.Service{CapAdd: []string{"ALL"}}, allCaps(), ""},
		"add all, drop":     {spec.Service{CapAdd: []string{"ALL"}, CapDrop: []string{"CHOWN"}}, slices.DeleteFunc(slices.Clone(allCaps()), func(c string) bool { return c == "CAP_CHOWN" }), ""},
		"add what is there": {spec.Service{CapAdd: []string{"CHOWN"}}, without(), ""},
		"unknown":           {spec.Service{CapAdd: []string{"FLY"}}, nil, "no capability named CAP_FLY"},
		"unknown to drop":   {spec.Service{CapDrop: []string{"FLY"}}, nil, "no capability named CAP_FLY"},
		"privileged":        {spec.Service{Privileged: true, CapDrop: []string{"ALL"}}, allCaps(), ""},
	} {
		got, err := capabilities(&test.service)
		if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestUlimits(t *testing.T) {
	got, _, err := rlimits(map[string]*spec.Ulimit{"stack": {Soft: 1, Hard: 2}, "nofile": {Single: 5}, "core": {}})
	want := []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_NOFILE", Soft: 5, Hard: 5}, {Type: "RLIMIT_STACK", Soft: 1, Hard: 2}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if limitValue(-1) != unix.RLIM_INFINITY {
		t.Error("-1 is not unlimited")
	}
	if _, _, err := rlimits(map[string]*spec.Ulimit{"wings": {}}); err == nil || !strings.Contains(err.Error(), `"wings"`) {
		t.Errorf("unknown: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	text := func(s string) *string { return &s }
	for name, test := range map[string]struct {
		image    []string
		service  map[string]*string
		terminal bool
		want     string
	}{
		"nothing":    {nil, nil, false, "HOME=/root HOSTNAME=h PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		"image":      {[]string{"PATH=/x", "A=1=2", "no value"}, nil, false, "A=1=2 HOME=/root HOSTNAME=h PATH=/x"},
		"service":    {[]string{"PATH=/x", "A=1", "B=1"}, map[string]*string{"A": text(""), "B": nil, "C": text("c")}, false, "A= C=c HOME=/root HOSTNAME=h PATH=/x"},
		"terminal":   {[]string{"PATH=/x"}, nil, true, "HOME=/root HOSTNAME=h PATH=/x TERM=xterm"},
		"own wishes": {[]string{"PATH=/x", "TERM=dumb", "HOME=/x"}, map[string]*string{"HOSTNAME": text("mine")}, true, "HOME=/x HOSTNAME=mine PATH=/x TERM=dumb"},
	} {
		got := strings.Join(environment(test.image, &spec.Service{Environment: test.service}, test.terminal, "h", "/root"), " ")
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestCommandLine: Compose Specification, command and entrypoint.
func TestCommandLine(t *testing.T) {
	words := func(s string) []string { return strings.Fields(s) }
	for name, test := range map[string]struct {
		entrypoint, command spec.Command
		image               [2]string // ENTRYPOINT, CMD
		want                string
	}{
		"the image's":              {nil, nil, [2]string{"/entry", "serve"}, "/entry serve"},
		"CMD alone":                {nil, nil, [2]string{"", "serve -p 1"}, "serve -p 1"},
		"command over CMD":         {nil, spec.Command{"work"}, [2]string{"/entry", "serve"}, "/entry work"},
		"command, no ENTRYPOINT":   {nil, spec.Command{"work"}, [2]string{"", "serve"}, "work"},
		"no command":               {nil, spec.Command{}, [2]string{"/entry", "serve"}, "/entry"},
		"entrypoint puts CMD away": {spec.Command{"/mine"}, nil, [2]string{"/entry", "serve"}, "/mine"},
		"both":                     {spec.Command{"/mine", "-v"}, spec.Command{"work"}, [2]string{"/entry", "serve"}, "/mine -v work"},
		"no entrypoint":            {spec.Command{}, spec.Command{"work"}, [2]string{"/entry", "serve"}, "work"},
		"nothing":                  {spec.Command{}, nil, [2]string{"/entry", "serve"}, ""},
		"an empty image":           {nil, nil, [2]string{"", ""}, ""},
	} {
		image := &dockerspec.DockerOCIImageConfig{}
		image.Entrypoint, image.Cmd = words(test.image[0]), words(test.image[1])
		got := Command(&spec.Service{Entrypoint: test.entrypoint, Command: test.command}, image)
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestWorkdir(t *testing.T) {
	for _, test := range [][3]string{
		{"", "", "/"}, {"", "/app", "/app"}, {"/srv", "/app", "/srv"}, {"", "app/../../..", "/"}, {"x//y/", "", "/x/y"},
	} {
		if got := workdir(test[0], test[1]); got != test[2] {
			t.Errorf("workdir(%q, %q) is %q, want %q", test[0], test[1], got, test[2])
		}
	}
}

func TestALimitThatIsCutIsTold(t *testing.T) {
	for _, c := range []struct {
		u          spec.Ulimit
		soft, hard uint64
		cut        string
	}{
		{spec.Ulimit{Single: -1}, 8192, 8192, "unlimited is above the 8192"},
		{spec.Ulimit{Soft: 100, Hard: 9000}, 100, 8192, "9000 is above the 8192"},
		{spec.Ulimit{Soft: 100, Hard: 8192}, 100, 8192, ""},
	} {
		got, cut := rlimit("memlock", &c.u, 8192)
		if got.Soft != c.soft || got.Hard != c.hard || !strings.HasPrefix(cut, c.cut) || c.cut == "" && cut != "" {
			t.Errorf("%+v: %+v, %q", c.u, got, cut)
		}
	}
}

func imageOf() *dockerspec.DockerOCIImageConfig { return &dockerspec.DockerOCIImageConfig{} }
