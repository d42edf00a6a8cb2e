package oci

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDefaultsAreMobys holds capabilities, masked and read-only paths to
// testdata/moby.txt: moby's lists as they were read at the commit and on the
// day that the file names. Who changes ours changes it, and says why.
//
// Risk runc rootfs races: a container reaches what of /proc and /sys tells of the host or changes it
// Held: the paths that moby masks and makes read-only, its later additions included, and its 14 capabilities; podman's 11 where hardened
func TestDefaultsAreMobys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "moby.txt"))
	if err != nil {
		t.Fatal(err)
	}
	lists := map[string][]string{}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasSuffix(line, ":"):
			section = strings.TrimSuffix(line, ":")
		default:
			lists[section] = append(lists[section], line)
		}
	}
	for name, ours := range map[string][]string{
		"capabilities": defaultCaps, "masked": maskedPaths, "read-only": readonlyPaths, "hardened capabilities": hardenedCaps,
	} {
		want, got := slices.Sorted(slices.Values(lists[name])), slices.Sorted(slices.Values(ours))
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s are\n%v\nwant\n%v", name, got, want)
		}
	}
}
