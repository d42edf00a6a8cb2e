package ruleset

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inHostEnv = "ORLOP_TEST_HOST"

// onFreshHost runs the calling test in a process with a network namespace of its own. It
// reports whether the caller is inside.
func onFreshHost(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inHostEnv) != "" {
		for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
			if err := os.WriteFile(path, []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: makes network namespaces")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), inHostEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("on a fresh host: %v", err)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skip("skipped on the fresh host")
	}
	return false
}

func apply(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		words := strings.Fields(line)
		if words[0] != "ip" && !strings.HasPrefix(words[0], "iptables") {
			words = append([]string{"nft"}, line)
		}
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
}

func host() Host {
	return Host{
		Table: func(name string) bool { return strings.HasPrefix(name, "orlop_") },
		Opens: func(data []byte) bool { return bytes.Contains(data, []byte("ours")) },
	}
}

const input, forward = "add table inet f; add chain inet f in { type filter hook input priority 0; }", "add table inet f; add chain inet f through { type filter hook forward priority 0; }"

// TestWhatMayStopAPacketIsSeen, and what can't is not taken for it.
func TestWhatMayStopAPacketIsSeen(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	for name, c := range map[string]struct {
		rules    []string
		is4, is6 string // a part of what is said; "" is nothing
	}{
		"nothing":                    {nil, "", ""},
		"a chain without rules":      {[]string{input}, "", ""},
		"rules that accept":          {[]string{input, "add rule inet f in ct state established counter accept", "add rule inet f in iifname lo log accept"}, "", ""},
		"a rule that drops":          {[]string{input, "add rule inet f in tcp dport 99 drop"}, "filters what comes in (chain inet f in)", "chain inet f in"},
		"a rule that rejects":        {[]string{input, "add rule inet f in tcp dport 99 reject"}, "chain inet f in", "chain inet f in"},
		"a policy":                   {[]string{"add table ip f; add chain ip f in { type filter hook input priority 5; policy drop; }"}, "drops what comes in (policy of chain ip f in)", ""},
		"a chain that is called":     {[]string{input, "add chain inet f more", "add rule inet f more tcp dport 99 drop", "add rule inet f in jump more"}, "chain inet f in", "chain inet f in"},
		"one that accepts":           {[]string{input, "add chain inet f more", "add rule inet f more tcp dport 99 accept", "add rule inet f in jump more"}, "", ""},
		"a map of verdicts":          {[]string{input, "add rule inet f in tcp dport vmap { 99 : drop }"}, "chain inet f in", "chain inet f in"},
		"a set of addresses":         {[]string{input, "add rule inet f in ip saddr { 10.0.0.1, 10.0.0.2 } accept"}, "", ""},
		"a mark":                     {[]string{input, "add rule inet f in meta mark set 1"}, "chain inet f in", "chain inet f in"},
		"of the other family":        {[]string{"add table ip6 f; add chain ip6 f in { type filter hook input priority 0; }", "add rule ip6 f in drop"}, "", "chain ip6 f in"},
		"what is forwarded":          {[]string{forward, "add rule inet f through drop"}, "filters what is forwarded (chain inet f through)", "chain inet f through"},
		"a policy of what is":        {[]string{"add table ip f; add chain ip f through { type filter hook forward priority 0; policy drop; }"}, "drops what is forwarded", ""},
		"opened by us":               {[]string{"add table ip f; add chain ip f through { type filter hook forward priority 0; policy drop; }", "add rule ip f through tcp dport 99 drop", `insert rule ip f through accept comment "ours"`}, "", ""},
		"opened by us, but later":    {[]string{"add table ip f; add chain ip f through { type filter hook forward priority 0; policy drop; }", "add rule ip f through tcp dport 99 drop", `add rule ip f through accept comment "ours"`}, "chain ip f through", ""},
		"of an engine":               {[]string{"add table inet orlop_x; add chain inet orlop_x in { type filter hook input priority 0; }", "add rule inet orlop_x in drop"}, "", ""},
		"what goes out, answers too": {[]string{"add table inet f; add chain inet f out { type filter hook output priority 0; policy drop; }"}, "drops what goes out", "chain inet f out"},
		"what was translated":        {[]string{"add table ip f; add chain ip f pre { type filter hook prerouting priority 0; }", "add rule ip f pre tcp dport 99 drop"}, "filters what arrives (chain ip f pre)", ""},
		"before it is":               {[]string{"add table ip f; add chain ip f pre { type filter hook prerouting priority -150; }", "add rule ip f pre tcp dport 99 drop"}, "", ""},
		"translated by others":       {[]string{"add table ip f; add chain ip f pre { type nat hook prerouting priority -100; }", "add rule ip f pre tcp dport 99 redirect to 98", "add chain ip f out { type nat hook output priority -100; }", "add rule ip f out tcp dport 99 redirect to 98", "add chain ip f post { type nat hook postrouting priority 100; }", "add rule ip f post masquerade"}, "", ""},
		"translated later":           {[]string{"add table ip f; add chain ip f pre { type nat hook prerouting priority -50; }", "add rule ip f pre tcp dport 99 redirect to 98"}, "chain ip f pre", ""},
		"what leaves":                {[]string{"add table ip f; add chain ip f post { type filter hook postrouting priority 0; }", "add rule ip f post tcp sport 99 drop"}, "filters what leaves", ""},
		"what is bridged":            {[]string{"add table bridge f; add chain bridge f in { type filter hook input priority 0; }", "add rule bridge f in drop"}, "", ""},
		"iptables, which accepts":    {[]string{"iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT"}, "", ""},
		"iptables, which drops":      {[]string{"iptables -A INPUT -p tcp --dport 99 -j DROP"}, "chain ip filter INPUT", ""},
		"iptables' policy":           {[]string{"iptables -P INPUT DROP"}, "policy of chain ip filter INPUT", ""},
		"rules of routing":           {[]string{"ip rule add from 10.0.0.1 table 100"}, "routes by rules of its own", ""},
	} {
		apply(t, "flush ruleset")
		apply(t, c.rules...)
		got, err := host().Read()
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range []struct{ family, got, want string }{{"IPv4", got.IPv4, c.is4}, {"IPv6", got.IPv6, c.is6}} {
			if !strings.Contains(of.got, of.want) || of.want == "" && of.got != "" {
				t.Errorf("%s, %s: %q, want %q", name, of.family, of.got, of.want)
			}
		}
		if name == "rules of routing" {
			apply(t, "ip rule del from 10.0.0.1 table 100")
		}
	}
	apply(t, "flush ruleset")
	apply(t, "ip link add one type veth peer name two")
	if got, _ := host().Read(); got != (Obstacles{}) {
		t.Errorf("with links: %+v", got)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/two/forwarding", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := host().Read(); !strings.Contains(got.IPv4, "does not forward by two") || got.IPv6 != "" {
		t.Errorf("with a link that does not forward: %+v", got)
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if got, _ := host().Read(); !strings.Contains(got.IPv4, "does not forward") || got.IPv6 != "" {
		t.Errorf("without forwarding: %q, %q", got.IPv4, got.IPv6)
	}
}

// TestTheOldIptablesCantBeRead, so that what it may do counts as done.
func TestTheOldIptablesCantBeRead(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	if out, err := exec.Command("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this kernel has no iptables-legacy: %s", out)
	}
	if got, err := host().Read(); err != nil || !strings.Contains(got.IPv4, "iptables-legacy") || got.IPv6 != "" {
		t.Errorf("%q, %q, %v", got.IPv4, got.IPv6, err)
	}
}

// TestChangesAreTold: of the firewall, of the rules of routing, of the switches.
func TestChangesAreTold(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan struct{}, 100)
	ended := make(chan error, 1)
	go func() { ended <- host().Watch(ctx, func() { told <- struct{}{} }) }()
	hear := func(what string) {
		t.Helper()
		select {
		case <-told:
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(10 * time.Second):
			t.Fatalf("nobody told of %s", what)
		}
		for len(told) > 0 {
			<-told
		}
	}
	hear("the beginning")
	apply(t, input)
	hear("a chain")
	apply(t, "ip rule add from 10.0.0.1 table 100")
	hear("a rule of routing")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	hear("forwarding")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	hear("forwarding")
	apply(t, "ip link add one type veth peer name two")
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/two/forwarding", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	hear("a link that does not forward")
	if exec.Command("iptables-legacy", "-A", "INPUT", "-j", "ACCEPT").Run() == nil {
		hear("a table of iptables-legacy")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNothingIsToldOf tables of our own, nor of links that forward: of all that the kernel
// says, the first message that counts is the one of the change after them.
func TestNothingIsToldOf(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	tables, err := subscribe(unix.NETLINK_NETFILTER, unix.NFNLGRP_NFTABLES)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Close()
	routes, err := subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		t.Fatal(err)
	}
	defer routes.Close()
	first := func(socket *os.File, concerns func(syscall.NetlinkMessage) bool) syscall.NetlinkMessage {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buffer := make([]byte, 64<<10)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			messages, err := syscall.ParseNetlinkMessage(buffer[:n])
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(messages, concerns); i >= 0 {
				return messages[i]
			}
		}
	}

	apply(t, "add table inet orlop_x; add chain inet orlop_x in { type filter hook input priority 0; }", "add table inet foreign")
	if m := first(tables, host().concerns); !bytes.Contains(m.Data, []byte("foreign\x00")) {
		t.Errorf("it was told of a table of ours: %q", m.Data)
	}
	apply(t, "ip link add one type veth peer name two", "ip rule add from 10.0.0.1 table 100")
	if m := first(routes, concernsRouting); m.Header.Type != unix.RTM_NEWRULE {
		t.Errorf("it was told of a link that forwards: message %d", m.Header.Type)
	}
}
