package stackfile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// What Docker refuses when a container is to be attached is told when the file is loaded.
func TestAnAddressOutsideOfItsNetworkIsToldAtItsPlace(t *testing.T) {
	for _, c := range []struct{ key, address, want string }{
		{"ipv4_address", "10.9.0.7", ""},
		{"ipv4_address", "10.9.1.7", "10.9.1.7 is not the address of a host in 10.9.0.0/24"},
		{"ipv4_address", "10.9.0.0", "10.9.0.0 is not the address of a host in 10.9.0.0/24"},
		{"ipv4_address", "10.9.0.255", "10.9.0.255 is not the address of a host in 10.9.0.0/24"},
		{"ipv6_address", "fd00:1::7", ""},
		{"ipv6_address", "fd00:2::7", "fd00:2::7 is not the address of a host in fd00:1::/64"},
	} {
		text := fmt.Sprintf("services:\n  a:\n    image: a\n    networks:\n      n:\n        %s: %s\nnetworks:\n  n:\n    enable_ipv6: true\n    ipam: {config: [{subnet: 10.9.0.0/24}, {subnet: \"fd00:1::/64\"}]}\n", c.key, c.address)
		_, _, err := Load(context.Background(), Options{Files: []string{"-"}, Stdin: strings.NewReader(text), Name: "shop"})
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.address, err)
			}
			continue
		}
		mistakes, ok := errors.AsType[*spec.Mistakes](err)
		if !ok || len(mistakes.Diagnostics) != 1 || mistakes.Diagnostics[0].Message != c.want || mistakes.Diagnostics[0].Place.Line != 6 || mistakes.Diagnostics[0].Place.Column != 23 {
			t.Errorf("%s: got %+v", c.address, err)
		}
	}
}
