// Package ownrange keeps the range of IPv6 that is an engine's own.
package ownrange

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/orlop/orlop/runner/disk"
)

// Of is the range of IPv6 that networks are picked from where nobody has named one:
// of addresses that are unique to this site (RFC 4193), drawn once and kept in a file: the
// networks of the time after a loss of power are of the same.
func Of(path string) (netip.Prefix, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		p, err := netip.ParsePrefix(strings.TrimSpace(string(text)))
		if err != nil || !p.Addr().Is6() {
			return netip.Prefix{}, fmt.Errorf("%s holds %q: it must be a range of IPv6 addresses such as fd12:3456:789a::/48", path, strings.TrimSpace(string(text)))
		}
		return p.Masked(), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return netip.Prefix{}, fmt.Errorf("cannot read which range of IPv6 addresses is ours: %w", err)
	}
	b := [16]byte{0xfd}
	rand.Read(b[1:6]) // RFC 4193, 3.2.1
	p := netip.PrefixFrom(netip.AddrFrom16(b), 48)
	if err := disk.Write(path, []byte(p.String()+"\n")); err != nil {
		return netip.Prefix{}, fmt.Errorf("cannot keep which range of IPv6 addresses is ours: %w", err)
	}
	return p, nil
}
