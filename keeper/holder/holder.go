// Package holder finds out which process has a port, by what the kernel tells in /proc.
package holder

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Find looks through /proc for the process that holds a port of tcp, udp or sctp. It returns
// zeros when none can be found (another user's process, another namespace).
func Find(proto string, at netip.AddrPort) (pid int, process string) {
	tables, inodesOf := []string{proto, proto + "6"}, listeners
	if proto == "sctp" {
		tables, inodesOf = []string{"sctp/eps"}, endpoints
	}
	inodes := map[string]bool{}
	for _, name := range tables {
		table, err := os.ReadFile("/proc/thread-self/net/" + name)
		if err != nil {
			continue
		}
		for _, inode := range inodesOf(table, proto, at) {
			inodes[fmt.Sprintf("socket:[%s]", inode)] = true
		}
	}
	if len(inodes) == 0 {
		return 0, ""
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, ""
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		if pid, err = strconv.Atoi(filepath.Base(dir)); err == nil {
			return pid, processName(dir)
		}
	}
	return 0, ""
}

// processName prefers the name of the program's file: comm is cut at 15 bytes.
func processName(dir string) string {
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		name := strings.TrimSuffix(filepath.Base(exe), " (deleted)")
		if comm, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
			if c := string(bytes.TrimSpace(comm)); !strings.HasPrefix(name, c) {
				return c // renamed itself, or an interpreter's script
			}
		}
		return name
	}
	comm, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return "a process"
	}
	return string(bytes.TrimSpace(comm))
}

// listeners returns the inodes of the sockets in a table of /proc/net that
// stand in the way.
func listeners(table []byte, proto string, at netip.AddrPort) []string {
	const tcpListen, udpUnconnected = "0A", "07"
	want := tcpListen
	if proto == "udp" {
		want = udpUnconnected
	}
	var inodes []string
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Scan() // heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != want {
			continue
		}
		local, ok := parseProcAddr(fields[1])
		if ok && local.Port() == at.Port() && Overlaps(local.Addr(), at.Addr()) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// endpoints is listeners of SCTP: ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS.
func endpoints(table []byte, _ string, at netip.AddrPort) []string {
	const listening = "10"
	var inodes []string
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[3] != listening || fields[5] != strconv.Itoa(int(at.Port())) {
			continue
		}
		for _, local := range fields[8:] {
			if addr, err := netip.ParseAddr(local); err == nil && Overlaps(addr, at.Addr()) {
				inodes = append(inodes, fields[7])
				break
			}
		}
	}
	return inodes
}

// Overlaps reports whether two listening addresses exclude each other. The
// zero Addr and the unspecified ones stand for all.
func Overlaps(a, b netip.Addr) bool {
	a, b = a.Unmap(), b.Unmap()
	return !a.IsValid() || !b.IsValid() || a.IsUnspecified() || b.IsUnspecified() || a == b
}

// parseProcAddr reads an address of /proc/net: words of four bytes in the
// machine's byte order, a colon, the port.
func parseProcAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	if !ok {
		return netip.AddrPort{}, false
	}
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), true
}
