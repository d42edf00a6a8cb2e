package userns

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/orlop/orlop/spec"
)

// Setting is userns_remap of the engine's settings: "FIRST:SIZE", a range of users and
// groups of the machine, or "USER[:GROUP]", those that /etc/subuid and /etc/subgid give
// to them; "default" is the user orlop there.
type Setting struct {
	Text         string
	Line, Column int // in the file of the settings
}

// UnmarshalYAML reads a text and where it stands.
func (s *Setting) UnmarshalYAML(n *yaml.Node) error {
	s.Line, s.Column = n.Line, n.Column
	return n.Decode(&s.Text)
}

const (
	smallest = 65536 // with nobody, who is 65534
	lowest   = 65536 // below are users of the machine
	highest  = 1<<32 - 2
	fallback = "orlop" // whose ranges "default" means
)

// Map is what the setting means; nil without one. path is the file that says so.
func (s Setting) Map(path string) (*spec.IDMap, error) {
	if s.Text == "" {
		return nil, nil
	}
	ids, err := s.read("/etc/subuid", "/etc/subgid")
	if err != nil {
		return nil, fmt.Errorf("%s:%d:%d: userns_remap: %w", path, s.Line, s.Column, err)
	}
	return ids, nil
}

func (s Setting) read(subuid, subgid string) (*spec.IDMap, error) {
	name, group, both := strings.Cut(s.Text, ":")
	first, err := strconv.Atoi(name)
	if size, sizeErr := strconv.Atoi(group); both && err == nil && sizeErr == nil {
		return rangeOf(first, size)
	}
	if name == "default" && !both {
		name = fallback
	}
	if !both {
		group = name
		if u, err := user.Lookup(name); err == nil { // its own group may be called otherwise
			if g, err := user.LookupGroupId(u.Gid); err == nil {
				group = g.Name
			}
		}
	}
	uid, sizeOfUsers, err := subordinate(subuid, name, numberOf(name, false))
	if err != nil {
		return nil, err
	}
	gid, sizeOfGroups, err := subordinate(subgid, group, numberOf(group, true))
	if err != nil && group != name && !both { // shadow's tools list the user there, too
		gid, sizeOfGroups, err = subordinate(subgid, name, numberOf(name, false))
	}
	if err != nil {
		return nil, err
	}
	return &spec.IDMap{UID: uid, GID: gid, Size: min(sizeOfUsers, sizeOfGroups)}, nil
}

// rangeOf is a range that is written out.
func rangeOf(first, size int) (*spec.IDMap, error) {
	switch {
	case size < smallest:
		return nil, fmt.Errorf("a container needs %d users, and %d:%d are %d: write FIRST:SIZE, such as 100000:65536", smallest, first, size, size)
	case first < lowest:
		return nil, fmt.Errorf("users below %d are the machine's own: begin with a higher one, such as 100000:65536", lowest)
	case first > highest || size > highest-first:
		return nil, fmt.Errorf("there are no users above %d", highest)
	}
	return &spec.IDMap{UID: first, GID: first, Size: size}, nil
}

// numberOf is the number of a user or group of the machine; "" if there is none.
func numberOf(name string, isGroup bool) string {
	if isGroup {
		if g, err := user.LookupGroup(name); err == nil {
			return g.Gid
		}
		return ""
	}
	if u, err := user.Lookup(name); err == nil {
		return u.Uid
	}
	return ""
}

// subordinate is the first range that a file such as /etc/subuid gives to somebody, by
// name or number, and that is large enough (subuid(5)).
func subordinate(path, name, number string) (first, size int, err error) {
	f, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for err == nil && lines.Scan() {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != name && (number == "" || fields[0] != number) {
			continue
		}
		first, errFirst := strconv.Atoi(fields[1])
		size, errSize := strconv.Atoi(fields[2])
		if errors.Join(errFirst, errSize) == nil && first > 0 && size >= smallest && first <= highest && size <= highest-first {
			return first, size, nil
		}
	}
	return 0, 0, fmt.Errorf("%s gives %s no range of %d: add a line such as %s:100000:%d, or write a range, FIRST:SIZE", path, name, smallest, name, smallest)
}
