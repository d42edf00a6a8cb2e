package spec

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"
)

// isForeignPath says that a path is one at which a program or the kernel makes a
// socket or a device. A directory below /run that services share is not.
func isForeignPath(source string) bool {
	for _, dir := range []string{"/tmp/.X11-unix", "/dev", "/proc", "/sys"} {
		if strings.HasPrefix(source, dir+"/") {
			return true
		}
	}
	isRuntime := strings.HasPrefix(source, "/run/") || strings.HasPrefix(source, "/var/run/")
	return path.Ext(source) == ".sock" || isRuntime && strings.Contains(path.Base(source), "sock")
}

// IsForeign says that what a mount is of is somebody else's to make: nothing is
// made there where it does not exist, for a directory of that name would keep
// whoever makes it from it. The container goes without, until it is there.
func (m Mount) IsForeign() bool {
	if m.Type != MountBind || m.Bind == nil || !m.Bind.CreateHostPath {
		return false
	}
	return isForeignPath(path.Clean(m.Source))
}

// MountPath is where the stack file says the i-th of a service's mounts.
func MountPath(service string, s *Service, i int) string {
	if i >= len(s.Volumes) {
		return "services." + service + ".volumes_from"
	}
	return fmt.Sprintf("services.%s.volumes[%d]", service, i)
}

var longDigest = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\b(sha256:[0-9a-f]{12})[0-9a-f]{52}\b`) })

// ShortDigests shortens each digest in a text to its first twelve digits: that
// tells it from others.
func ShortDigests(s string) string { return longDigest().ReplaceAllString(s, "$1") }
