package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Etc is what /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say.
type Etc struct {
	Dir         string // where the files are
	Hostname    string
	Names       map[netip.Addr][]string // of its own addresses
	Extra       []string                // "name=address" or "name:address"
	NetworkMode string                  // of its service
}

// Mounts writes the files and gives their mounts. With the host's network the
// host's own serve.
func (e *Etc) Mounts() ([]specs.Mount, error) {
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return nil, err
	}
	files := map[string]string{"hosts": hostsFile(e.Names, e.Extra), "hostname": e.Hostname + "\n"}
	switch e.NetworkMode {
	case "host":
		b, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files["resolv.conf"] = string(b)
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			files["hosts"] = string(b) + extraHosts(e.Extra)
		}
	case "none":
		files["resolv.conf"] = ""
	default:
		files["resolv.conf"] = "nameserver 127.0.0.11\noptions ndots:0\n"
	}
	var mounts []specs.Mount
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		path := filepath.Join(e.Dir, name)
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			return nil, err
		}
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: path, Options: []string{"rbind", "rprivate", "rw"}})
	}
	return mounts, nil
}

func hostsFile(names map[netip.Addr][]string, extra []string) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, addr := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		fmt.Fprintf(&b, "%s\t%s\n", addr, strings.Join(names[addr], " "))
	}
	b.WriteString(extraHosts(extra))
	return b.String()
}

// extraHosts turns "name=address" (or "name:address") into lines of a hosts file.
func extraHosts(extra []string) string {
	var b strings.Builder
	for _, e := range extra {
		i := strings.IndexAny(e, "=:")
		if i > 0 {
			fmt.Fprintf(&b, "%s\t%s\n", strings.Trim(e[i+1:], "[]"), e[:i])
		}
	}
	return b.String()
}
