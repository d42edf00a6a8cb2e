package unpack

import (
	"archive/tar"
	"fmt"
	"maps"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/disk"
)

const (
	// mostNames is how many bytes names and attributes of the files of a layer may
	// take in memory while it is unpacked. Large layers, of a million files, have 200 MB.
	mostNames = 256 << 20
	// perFile and perDirectory are what a file takes beside its name, and each
	// directory of its path.
	perFile, perDirectory = 32, 8
	// longest is how many bytes a path or the target of a link may have; Linux has
	// no longer ones.
	longest = unix.PathMax
	// lookEvery is after how many bytes it is looked again how much room there is.
	lookEvery = 64 << 20
	// margin is how much of a disk is left, where it is sixteen times larger.
	margin = 256 << 20
	// xattr is what the name of a PAX record begins with that is an attribute.
	xattr = "SCHILY.xattr."
)

// bounds holds each entry of a layer against what all of them may take.
type bounds struct {
	layer digest.Digest
	root  string // where it is unpacked
	names int64  // bytes that names and attributes take
	bytes int64  // of files since the last look at the disk
}

// check looks at an entry before anything of it is written.
func (b *bounds) check(h *tar.Header) (bool, error) {
	if n := max(len(h.Name), len(h.Linkname)); n >= longest {
		return false, fmt.Errorf("layer %s has a file, %.100q, whose name or target has %d bytes, more than %d", b.layer, h.Name, n, longest-1)
	}
	// Headers of directories are kept to the end: nothing but attributes is needed
	// then, and a megabyte of comments packs into a kilobyte.
	maps.DeleteFunc(h.PAXRecords, func(name, _ string) bool { return !strings.HasPrefix(name, xattr) })
	b.names += int64(perFile + len(h.Name) + perDirectory*strings.Count(h.Name, "/"))
	if h.Typeflag == tar.TypeDir {
		for name, value := range h.PAXRecords {
			b.names += int64(len(name) + len(value))
		}
	}
	if b.names > mostNames {
		return false, fmt.Errorf("layer %s has more than %s of names and attributes of files: that is no layer of an image", b.layer, disk.Bytes(mostNames))
	}
	if h.Size < 0 {
		return false, fmt.Errorf("layer %s has a file of %d bytes, %.200q", b.layer, h.Size, h.Name)
	}
	b.bytes += min(h.Size, lookEvery)
	if b.bytes < lookEvery {
		return true, nil
	}
	b.bytes = 0
	if err := fits(b.root, h.Size); err != nil {
		return false, fmt.Errorf("layer %s has a file of %s, %.200q: %w", b.layer, disk.Bytes(h.Size), h.Name, err)
	}
	return true, nil
}

// fits is an error if a file of so many bytes would leave no margin of a disk: a
// sparse one can be written as a kilobyte, and would fill it first.
func fits(root string, bytes int64) error {
	_, total, err := disk.Room(root)
	if err != nil {
		return nil
	}
	return disk.Need(root, min(bytes, 1<<62)+min(margin, total/16)) // 1<<62 is more than any disk has
}
