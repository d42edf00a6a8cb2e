package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// IDMap says which users and groups of the machine those of a container are: its root is
// UID and GID there, and it has Size of each.
type IDMap struct{ UID, GID, Size int }

// String is "UID:SIZE", with "UID/GID:SIZE" where they differ.
func (m IDMap) String() string {
	if m.UID == m.GID {
		return fmt.Sprintf("%d:%d", m.UID, m.Size)
	}
	return fmt.Sprintf("%d/%d:%d", m.UID, m.GID, m.Size)
}

// Label is how containerd and the kernel write the mapping of users that begins at one of
// the machine's.
func (m IDMap) Label(first int) string { return fmt.Sprintf("0:%d:%d", first, m.Size) }

// ParseIDMap reads what String gives; nil where it is something else.
func ParseIDMap(text string) *IDMap {
	first, size, ok := strings.Cut(text, ":")
	uid, gid, differ := strings.Cut(first, "/")
	if !differ {
		gid = uid
	}
	var m IDMap
	for word, to := range map[string]*int{"u" + uid: &m.UID, "g" + gid: &m.GID, "s" + size: &m.Size} {
		n, err := strconv.Atoi(word[1:])
		if err != nil || !ok || n <= 0 {
			return nil
		}
		*to = n
	}
	return &m
}

// IDMap is how the service's users are mapped to those of the machine, which the engine's
// settings say; nil where they are the machine's own.
func (s *Service) IDMap() *IDMap { return ParseIDMap(s.UsernsMode) }
