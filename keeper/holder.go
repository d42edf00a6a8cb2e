package keeper

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

// findHolder looks through /proc for the process that holds a port. It returns
// zeros when none can be found (another user's process, another namespace).
func findHolder(p Port) (pid int, process string) {
	inodes := map[string]bool{}
	for _, suffix := range []string{"", "6"} {
		table, err := os.ReadFile("/proc/thread-self/net/" + p.Proto + suffix)
		if err != nil {
			continue
		}
		for _, inode := range listeners(table, p) {
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
// stand in the way of p.
func listeners(table []byte, p Port) []string {
	const tcpListen, udpUnconnected = "0A", "07"
	want := tcpListen
	if p.Proto == UDP {
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
		if ok && local.Port() == p.Port && overlaps(local.Addr(), p.Addr) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// overlaps reports whether two listening addresses exclude each other. The
// zero Addr and the unspecified ones stand for all.
func overlaps(a, b netip.Addr) bool {
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
