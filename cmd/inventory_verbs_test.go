package cmd_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// stocked is a desk whose engine has volumes, networks and images.
func stocked(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, "").serve()
	d.engine.volumes = []*api.VolumeInfo{
		{Name: "shop_data", Project: "shop", Key: "data", Path: "/v/shop_data", CreatedUnixMs: then.UnixMilli(), Users: []string{"shop-db-1"}},
		{Name: "loose", Labels: map[string]string{"tier": "back"}, Anonymous: true},
	}
	d.engine.networks = []*api.NetworkInfo{
		{Name: "shop_default", Project: "shop", Key: "default", Subnet: "10.89.0.0/24", Gateway: "10.89.0.1", Users: []*api.NetworkUser{{Id: "w1", Name: "shop-web-1", Address: "10.89.0.2/24"}}},
		{Name: "edge", Subnet: "10.77.0.0/24", Internal: true},
	}
	d.engine.images = []*api.ImageInfo{
		{Name: "shop-api", Id: "sha256:0123456789abcdef", Digest: "sha256:fedcba9876543210", DiskBytes: 81_200_000, SharedBytes: 74_100_000, Users: []*api.ImageUser{{Container: "a"}, {Container: "b"}, {Container: "c"}, {Container: "d"}}, CreatedUnixMs: then.Add(-2 * time.Minute).UnixMilli(), Platforms: []string{"linux/amd64"}},
		{Name: "busybox", Digest: "sha256:fedcba9876543210", DiskBytes: 900},
	}
	return d
}

func TestWhatTheEngineHasIsListed(t *testing.T) {
	for line, want := range map[string]string{
		"volume ls": "NAME        DRIVER   PROJECT   USED BY\n" +
			"shop_data   local    shop      shop-db-1\n" +
			"loose       local    -         -\n",
		"volume ls -q --filter dangling=true":       "loose\n",
		"volume ls -q --filter label=tier":          "loose\n",
		"volume ls -q --filter label=tier=front":    "",
		"volume ls -q -f name=shop -f driver=local": "shop_data\n",
		"volume ls -q -f name=shop -f name=loo":     "shop_data\nloose\n",
		"volume ls -q -f driver=nfs":                "",
		"network ls": "NAME           DRIVER   SUBNET         PROJECT   USED BY\n" +
			"shop_default   bridge   10.89.0.0/24   shop      shop-web-1\n" +
			"edge           bridge   10.77.0.0/24   -         -\n",
		"network ls -q --filter dangling=false": "shop_default\n",
		"image ls": "NAME       DIGEST         CREATED         SIZE      SHARED    UNIQUE   USED BY\n" +
			"busybox    fedcba987654   -               900 B     0 B       900 B    -\n" +
			"shop-api   fedcba987654   2 minutes ago   81.2 MB   74.1 MB   7.1 MB   a, b and 2 more\n",
		"image ls --format {{.Repository}}-{{.UniqueSize}}":                  "busybox-900\nshop-api-7100000\n",
		"image prune --filter until=1h":                                      "",
		"image ls -a --digests --no-trunc --format {{.Name}}":                "busybox\nshop-api\n",
		"image ls --format {{.Name}} -f reference=shop-*":                    "shop-api\n",
		"image ls --format {{.Name}} -f reference=shop-* -f reference=busy*": "busybox\nshop-api\n",
		"image ls --format {{.Name}} -f reference=shop-* -f dangling=true":   "",
		"image ls --format {{.Name}} -f before=shop-api -f dangling=false":   "busybox\n",
		"image ls --format {{.Name}} -f since=busybox":                       "shop-api\n",
		"image ls --format {{.Name}} -f since=0123456789ab":                  "",
		"image ls -q": "sha256:fedcba9876543210\nsha256:0123456789abcdef\n",
	} {
		stdout, stderr, code := stocked(t).run(line)
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", line, code, stderr)
		}
		equal(t, line, stdout, want)
	}
}

func TestWhatTheEngineHasIsJSONInDockersWords(t *testing.T) {
	d := stocked(t)
	stdout, _, _ := d.run("volume ls --format json")
	equal(t, "the first volume", strings.SplitAfter(stdout, "\n")[0],
		`{"Driver":"local","Labels":"com.docker.compose.project=shop,com.docker.compose.volume=data","Mountpoint":"/v/shop_data","Name":"shop_data","Scope":"local"}`+"\n")
	stdout, _, _ = d.run("network ls --format json")
	equal(t, "the second network", strings.SplitAfter(stdout, "\n")[1],
		`{"Driver":"bridge","ID":"edge","IPv4":"true","IPv6":"false","Internal":"true","Labels":"","Name":"edge","Scope":"local"}`+"\n")
	stdout, _, _ = d.run("image ls --format json")
	equal(t, "the first image", strings.SplitAfter(stdout, "\n")[0],
		`{"Name":"busybox","Repository":"busybox","Tag":"","Digest":"sha256:fedcba9876543210","ID":"","Size":900,"SharedSize":0,"UniqueSize":900,"CreatedAt":"0001-01-01T00:00:00Z","CreatedSince":"-","Platforms":null,"UsedBy":[],"Containers":0}`+"\n")
	stdout, _, _ = d.run("volume inspect shop_data")
	var volumes []struct{ Name, CreatedAt, Mountpoint string }
	if err := json.Unmarshal([]byte(stdout), &volumes); err != nil || len(volumes) != 1 || volumes[0].CreatedAt != "2026-11-21T12:00:00Z" {
		t.Errorf("inspected is %v, %v", volumes, err)
	}
	stdout, stderr, code := d.run("network inspect shop_default nosuch")
	var networks []struct {
		Name       string
		Containers map[string]struct{ Name string }
		IPAM       struct {
			Config []struct{ Subnet, Gateway string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &networks); err != nil || networks[0].Containers["w1"].Name != "shop-web-1" || networks[0].IPAM.Config[0].Gateway != "10.89.0.1" {
		t.Errorf("inspected is %+v, %v", networks, err)
	}
	if code != 1 || stderr != "no network named nosuch: \"orlop network ls\" lists what there is\n" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestWhatTheEngineHasIsMadeAndRemoved(t *testing.T) {
	for line, want := range map[string]struct {
		stdout, stderr string
		code           int
	}{
		"volume create data --label a=b":  {"data\n", "", 0},
		"volume create data --driver nfs": {"", "--driver is \"nfs\": it must be one of local\n", 1},
		"network create --internal back":  {"back\n", "", 0},
		"network create --ipv6 --ipv4=false --subnet fd00:1::/64 --gateway fd00:1::9 six": {"six\n", "", 0},
		"network create --ipv6 --subnet 10.7.0.0/24 --subnet 10.8.0.0/24 two":             {"", "--subnet is given twice for one family of addresses: 10.7.0.0/24 and 10.8.0.0/24\n", 1},
		"network create --subnet fd00:1::/64 none":                                        {"", "fd00:1::/64 is of IPv6, which the network has none of: add --ipv6\n", 1},
		"volume rm loose nosuch":              {"loose\n", "no volume named nosuch: \"orlop volume ls\" lists what there is\n", 1},
		"volume rm -f nosuch":                 {"", "", 0},
		"network rm edge":                     {"edge\n", "", 0},
		"network rm":                          {"", "orlop network rm needs a network: see orlop network rm --help\n", 1},
		"image rm busybox used":               {"Untagged: busybox:latest\nDeleted: sha256:busybox\n", "web/1 uses it\n", 1},
		"image rm -f used":                    {"Untagged: used:latest\nDeleted: sha256:used\n", "", 0},
		"image rm -f nosuch used":             {"Untagged: used:latest\nDeleted: sha256:used\n", "", 0},
		"image rm -f stuck":                   {"Untagged: stuck:1\n", "cannot remove stuck:2\n", 1},
		"--dry-run image rm one":              {" - image name one:latest\n - image sha256:one\n", " dry run: nothing was done\n", 0},
		"--dry-run image rm two":              {" - image name two:1\n", " dry run: nothing was done\n", 0},
		"--dry-run image rm used":             {"", "web/1 uses it\n", 1},
		"--dry-run image rm -f nosuch":        {"", " dry run: nothing was done\n", 0},
		"image tag shop-api registry/api:2":   {"", "", 0},
		"image tag shop-api":                  {"", "orlop image tag needs a source and a target: see orlop image tag --help\n", 1},
		"volume ls --filter size=3":           {"", "--filter is \"size=3\": it must be name=TEXT, label=NAME[=VALUE], driver=NAME or dangling=true|false\n", 1},
		"volume ls --filter dangling=perhaps": {"", "--filter is \"dangling=perhaps\": dangling must be true or false\n", 1},
		"volume":                              {"", "", 0},
	} {
		d := stocked(t)
		stdout, stderr, code := d.run(line)
		if code != want.code || line != "volume" && stdout != want.stdout || stderr != want.stderr {
			t.Errorf("%s: exit code %d, %q, %q", line, code, stdout, stderr)
		}
		switch line {
		case "volume create data --label a=b":
			if v := d.engine.volumes[2]; v.Name != "data" || v.Labels["a"] != "b" {
				t.Errorf("made is %v", v)
			}
		case "network create --internal back":
			if n := d.engine.networks[2]; n.Name != "back" || !n.Internal {
				t.Errorf("made is %v", n)
			}
		case "network create --ipv6 --ipv4=false --subnet fd00:1::/64 --gateway fd00:1::9 six":
			if n := d.engine.networks[2]; !n.Ipv6 || !n.NoIpv4 || n.Subnet != "" || n.Subnet6 != "fd00:1::/64" || n.Gateway6 != "fd00:1::9" {
				t.Errorf("made is %v", n)
			}
		case "--dry-run image rm one":
			if len(d.engine.removed) != 0 {
				t.Errorf("a dry run removes %q", d.engine.removed)
			}
		case "image rm busybox used":
			if !slices.Equal(d.engine.removed, []string{"busybox"}) {
				t.Errorf("removed are %q", d.engine.removed)
			}
		}
	}
}

func TestTheImagesOfAStacksContainers(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.observed.Containers = fleet()[:1]
	stdout, stderr, code := d.run("images web")
	if code != 0 {
		t.Fatal(stderr)
	}
	equal(t, "images", stdout, "CONTAINER    REPOSITORY   TAG      PLATFORM   IMAGE ID       SIZE   CREATED\nshop-web-1   nginx        <none>              0123456789ab   0 B    unknown\n")
	stdout, _, _ = d.run("images -q web")
	equal(t, "IDs", stdout, "0123456789abcdef\n")
	stdout, _, _ = d.run("images --format json web")
	equal(t, "JSON", stdout, `[{"ID":"","ContainerName":"shop-web-1","Repository":"","Tag":"","Platform":"","Size":0,"Service":"web","Image":"nginx","Digest":"sha256:0123456789abcdef"}]`+"\n")
}

// idle is a desk with two instances that nobody uses, and one that runs.
func idle(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, "").serve()
	used := then.Add(-48 * time.Hour).UnixMilli()
	d.engine.collected = &api.CollectReply{
		Projects: []*api.ProjectInfo{{Name: "shop-a", UsedUnixMs: used, DiskBytes: 1_500_000, Images: []string{"shop-a-api"}}, {Name: "shop-b", UsedUnixMs: used}},
		Left:     []*api.ProjectInfo{{Name: "shop-c", UsedUnixMs: used}}, DiskBytes: 1_500_000,
	}
	return d
}

func TestInstancesThatNobodyUsesAreRemoved(t *testing.T) {
	d := idle(t)
	stdout, stderr, code := d.run("gc --older-than 24h")
	if code != 0 {
		t.Fatal(stderr)
	}
	equal(t, "output", stdout, "removed shop-a   last used 2 days ago, 1.5 MB, 1 image: shop-a-api\n"+
		"removed shop-b   last used 2 days ago, 0 B\n"+
		"left shop-c   last used 2 days ago: it runs, only --running removes it\n2 instances, 1.5 MB\n")
	if n := len(d.engine.collect); n != 2 || d.engine.collect[1].DryRun || !slices.Equal(d.engine.collect[1].Projects, []string{"shop-a", "shop-b"}) || d.engine.collect[1].OlderThanMs != 86_400_000 {
		t.Errorf("asked was %v", d.engine.collect)
	}
}

func TestADryRunRemovesNothing(t *testing.T) {
	d := idle(t)
	stdout, _, code := d.run("gc --dry-run --running")
	if code != 0 || !strings.HasPrefix(stdout, "would remove shop-a ") || len(d.engine.collect) != 1 || !d.engine.collect[0].DryRun || !d.engine.collect[0].Running {
		t.Errorf("exit code %d, asked was %v:\n%s", code, d.engine.collect, stdout)
	}
	d.engine.collected = &api.CollectReply{}
	if stdout, _, _ := d.run("gc --older-than 1h"); stdout != "nothing to remove\n" {
		t.Errorf("without any: %q", stdout)
	}
	if _, stderr, code := d.run("gc"); code != 1 || !strings.HasPrefix(stderr, "gc needs --older-than: ") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

func TestNothingIsRemovedWithoutAYes(t *testing.T) {
	for answer, removed := range map[string]bool{"n\n": false, "\n": false, "y\n": true, "Y\n": true} {
		d := idle(t)
		d.engine.observed.Containers = []planner.Container{webContainer(planner.Exited, 0)}
		s := d.onScreen("gc --older-than 24h")
		s.until("Remove 2 instances with all data? [y/N]", "is to be removed: shop-a")
		s.press(answer)
		code := within(t, "it does not end", s.code)
		if (code == 0) != removed || (len(d.engine.collect) == 2) != removed {
			t.Errorf("after %q: exit code %d, asked was %v", answer, code, d.engine.collect)
		}
	}
}

func TestContainersAreRemovedAfterAYesOnly(t *testing.T) {
	for answer, asked := range map[string]int{"n\n": 0, "y\n": 1} {
		d := newDesk(t, shop).serve()
		s := d.onScreen("rm web")
		s.until("Remove containers of shop? [y/N]", "")
		s.press(answer)
		if code := within(t, "it does not end", s.code); (code == 0) != (asked == 1) || len(d.engine.lifecycle) != asked {
			t.Errorf("after %q: exit code %d, asked was %v", answer, code, d.engine.lifecycle)
		}
	}
}

func TestStacksAreListedWithTheirUse(t *testing.T) {
	d := newDesk(t, "").serve()
	d.engine.projects = []*api.ProjectInfo{
		{Name: "shop", Running: 2, Exited: 1, Files: []string{"/s/stack.yaml", "/s/dev.yaml"}, CreatedUnixMs: then.Add(-time.Hour).UnixMilli(), DiskBytes: 2_000},
		{Name: "shop-x", Instance: "x", CreatedUnixMs: then.Add(-time.Hour).UnixMilli(), UsedUnixMs: then.Add(-time.Minute).UnixMilli(), Images: []string{"shop-x-api"}},
		{Name: "made"},
	}
	stdout, _, _ := d.run("ls")
	equal(t, "what runs", stdout, "NAME   STATUS       INSTANCE   CREATED             USED   DISK     CONFIG FILES\n"+
		"shop   running(2)   -          About an hour ago   -      2.0 kB   /s/stack.yaml,/s/dev.yaml\n")
	stdout, _, _ = d.run("ls -aq")
	equal(t, "all names", stdout, "made\nshop\nshop-x\n")
	var all []struct {
		Name, Status, Instance string
		UsedAt                 *time.Time
	}
	stdout, _, _ = d.run("ls -a --format json")
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || all[0].Status != "created" || all[2].Status != "down, 1 image" || all[2].Instance != "x" || all[1].UsedAt != nil {
		t.Errorf("JSON is %+v, %v", all, err)
	}
}
