package rootfs

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/spec"
)

// Etc is what /etc/hosts, /etc/hostname and /etc/resolv.conf of a container say.
type Etc struct {
	Dir      string // where the files are
	Hostname string
	Names    map[netip.Addr][]string // of its own addresses
	Extra    []string                // "name=address" or "name:address"
	Service  *spec.Service
	Owner    *spec.Service // the one whose network it shares, if it does
}

// networkMode is whose network the container is on.
func (e *Etc) networkMode() string {
	if e.Owner != nil {
		return e.Owner.NetworkMode
	}
	return e.Service.NetworkMode
}

// Mounts writes the files and gives their mounts. With the host's network the
// host's own serve.
func (e *Etc) Mounts() ([]specs.Mount, error) {
	if err := os.MkdirAll(e.Dir, 0o700); err != nil {
		return nil, err
	}
	files := map[string]string{"hosts": hostsFile(e.Names, e.Extra), "hostname": e.Hostname + "\n"}
	if e.networkMode() == "host" {
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			files["hosts"] = string(b) + extraHosts(e.Extra)
		}
	}
	conf, err := e.resolvConf()
	if err != nil {
		return nil, err
	}
	files["resolv.conf"] = conf
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
