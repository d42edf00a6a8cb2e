package values

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// limits checks what a service says of its resources: what no kernel takes, and what
// contradicts itself.
func (c checker) limits(s *tree.Node, path string) {
	for _, b := range bounds {
		if n := s.Value(b.key); n != nil {
			c.within(n, path+"."+b.key, b.least, b.most)
		}
	}
	if n := s.Value("cpuset"); n != nil {
		c.cpuset(n, path+".cpuset")
	}
	if n := s.Value("deploy").Value("resources").Value("limits").Value("pids"); n != nil {
		c.within(n, path+".deploy.resources.limits.pids", -1, mostPids)
	}
	c.cpuTime(s, path)
	c.memory(s, path)
	if n := s.Value("blkio_config"); n != nil {
		c.block(n, path+".blkio_config")
	}
	c.sysctls(s, path)
	c.twice(s, path)
}

// mostPids is how many processes Linux has at most (PID_MAX_LIMIT).
const mostPids = 4 << 20

// bounds are those of single numbers; a most of 0 is none, and a 0 says nothing, as in
// Docker.
var bounds = []struct {
	key         string
	least, most int64
}{
	{"pids_limit", -1, mostPids},
	{"cpu_shares", 2, 262_144},
	{"cpu_period", 1_000, 1_000_000},
	{"cpu_rt_period", 1, 1_000_000_000},
	{"cpu_rt_runtime", -1, 1_000_000_000},
	{"mem_swappiness", 0, 100},
	{"oom_score_adj", -1000, 1000},
}

// within refuses a number that is out of bounds.
func (c checker) within(n *tree.Node, at string, least, most int64) {
	value, ok := wholeOf(n)
	switch {
	case !ok || value == 0:
	case value < least:
		c.Fail(n, at, fmt.Sprintf("%d is below %d", value, least), "")
	case most != 0 && value > most:
		c.Fail(n, at, fmt.Sprintf("%d is above %d", value, most), "")
	}
}

// wholeOf is the number that a node has, if it has one.
func wholeOf(n *tree.Node) (int64, bool) {
	if n == nil || n.Kind != tree.ScalarNode {
		return 0, false
	}
	value, err := strconv.ParseInt(n.Text, 10, 64)
	return value, err == nil
}

// cpuset checks a list of processors: "0-2,5".
func (c checker) cpuset(n *tree.Node, at string) {
	if n.Kind != tree.ScalarNode || n.Text == "" {
		return
	}
	for part := range strings.SplitSeq(n.Text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if isRange && err == nil {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a {
			c.Fail(n, at, fmt.Sprintf("%q is not a list of processors", spec.Shorten(n.Text)), "write numbers and ranges, such as 0-2,5")
			return
		}
	}
}

// leastQuota is the least that the kernel gives of a period, in microseconds.
const leastQuota = 1_000

func (c checker) cpuTime(s *tree.Node, path string) {
	quota := s.Value("cpu_quota")
	if n, ok := wholeOf(quota); ok && n < leastQuota && n != 0 && n != -1 {
		c.Fail(quota, path+".cpu_quota", fmt.Sprintf("%d is below %d microseconds", n, leastQuota), "-1 is no limit")
	}
	cpus, name := s.Value("cpus"), "cpus"
	if cpus == nil {
		cpus, name = s.Value("deploy").Value("resources").Value("limits").Value("cpus"), "deploy.resources.limits.cpus"
	}
	if cpus == nil || isSameNumber(cpus.Text, "0") {
		return
	}
	for _, key := range []string{"cpu_quota", "cpu_period"} {
		if n, ok := wholeOf(s.Value(key)); ok && n != 0 {
			c.Fail(s.Value(key), path+"."+key, key+" and "+name+" exclude each other", "keep one of them: cpus is quota by period")
			return
		}
	}
}

// memory holds the limits of memory against each other.
func (c checker) memory(s *tree.Node, path string) {
	limit, limited := wholeOf(firstOf(s.Value("mem_limit"), s.Value("deploy").Value("resources").Value("limits").Value("memory")))
	limited = limited && limit > 0
	if swap := s.Value("memswap_limit"); swap != nil {
		switch n, ok := wholeOf(swap); {
		case !ok || n <= 0:
		case !limited:
			c.Fail(swap, path+".memswap_limit", "memory and swap have a limit together, and memory has none", "write mem_limit too")
		case n < limit:
			c.Fail(swap, path+".memswap_limit", fmt.Sprintf("%d is less than the limit of memory, %d, which it includes", n, limit), "")
		}
	}
	reservation := func(n *tree.Node, key string) {
		if reserved, ok := wholeOf(n); ok && limited && reserved > limit {
			c.Fail(n, path+"."+key, fmt.Sprintf("%d is more than the limit, %d", reserved, limit), "")
		}
	}
	reservation(s.Value("mem_reservation"), "mem_reservation")
	reservation(s.Value("deploy").Value("resources").Value("reservations").Value("memory"), "deploy.resources.reservations.memory")
}

func firstOf(nodes ...*tree.Node) *tree.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

// twice refuses what is said by a key of the service and one of deploy, differently
// (Compose Deploy Specification, resources).
func (c checker) twice(s *tree.Node, path string) {
	resources := s.Value("deploy").Value("resources")
	if resources == nil {
		return
	}
	for _, pair := range []struct {
		own, part, key string
	}{
		{"cpus", "limits", "cpus"},
		{"mem_limit", "limits", "memory"},
		{"pids_limit", "limits", "pids"},
		{"mem_reservation", "reservations", "memory"},
	} {
		own, other := s.Value(pair.own), resources.Value(pair.part).Value(pair.key)
		if own == nil || other == nil || own.Kind != tree.ScalarNode || other.Kind != tree.ScalarNode || isSameNumber(own.Text, other.Text) {
			continue
		}
		at := path + ".deploy.resources." + pair.part + "." + pair.key
		c.Fail(other, at, fmt.Sprintf("%s is %s, and %s is %s", pair.key, other.Text, pair.own, own.Text), "keep one of them")
	}
}

func isSameNumber(a, b string) bool {
	x, errX := strconv.ParseFloat(tree.PlainNumber(a), 64)
	y, errY := strconv.ParseFloat(tree.PlainNumber(b), 64)
	return errX == nil && errY == nil && x == y
}

// block checks weights of block devices, and that each limit names a device.
func (c checker) block(n *tree.Node, path string) {
	if n.Kind != tree.MapNode {
		return
	}
	const least, most = 10, 1000
	c.within(n.Value("weight"), path+".weight", least, most)
	for _, f := range n.Fields {
		for i, item := range f.Value.Items {
			at := tree.Indexed(path+"."+f.Key, i)
			if item.Kind != tree.MapNode {
				continue
			}
			if p := tree.TextAt(item, "path"); !strings.HasPrefix(p, "/") {
				c.Fail(firstOf(item.Value("path"), item), at+".path", fmt.Sprintf("%q is not the path of a device", spec.Shorten(p)), "write one such as /dev/sda")
			}
			if f.Key == "weight_device" {
				c.within(item.Value("weight"), at+".weight", least, most)
			}
		}
	}
}

// ownSysctls are the kernel's parameters that each container has of its own, beside
// those of its network (net.) and its queues of messages (fs.mqueue.).
var ownSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
	"kernel.shm_rmid_forced", "kernel.domainname",
}

// isIPC says that a parameter is one of an IPC namespace.
func isIPC(key string) bool {
	return strings.HasPrefix(key, "fs.mqueue.") || key != "kernel.domainname" && slices.Contains(ownSysctls, key)
}

// sysctls refuses parameters that would change the whole machine.
func (c checker) sysctls(s *tree.Node, path string) {
	list := s.Value("sysctls")
	if list == nil || list.Kind != tree.MapNode {
		return
	}
	onHost := tree.TextAt(s, "network_mode") == "host"
	for _, f := range list.Fields {
		at := &tree.Node{At: f.At, Width: f.Width}
		isNet := strings.HasPrefix(f.Key, "net.")
		switch {
		case isNet && onHost:
			c.Fail(at, path+".sysctls."+f.Key, "it is the host's, whose network the service uses", "set it on the host, or take network_mode: host away")
		case isIPC(f.Key) && tree.TextAt(s, "ipc") == spec.HostNamespace:
			c.Fail(at, path+".sysctls."+f.Key, "it is the host's, whose IPC namespace the service has", "set it on the host, or take ipc: host away")
		case !isNet && !strings.HasPrefix(f.Key, "fs.mqueue.") && !slices.Contains(ownSysctls, f.Key):
			c.Fail(at, path+".sysctls."+f.Key, "it is a parameter of the whole machine, not of a container", "set it on the host")
		case f.Value.Kind == tree.NullNode:
			c.Fail(at, path+".sysctls."+f.Key, "a value is missing", "write "+f.Key+"=VALUE")
		}
	}
}
