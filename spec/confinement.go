package spec

import (
	"strconv"
	"strings"
)

// Names of security_opt.
const (
	OptNoNewPrivileges = "no-new-privileges"
	OptSeccomp         = "seccomp"
	OptAppArmor        = "apparmor"
	OptLabel           = "label"
	OptSystemPaths     = "systempaths"
	OptWritableCgroups = "writable-cgroups"
)

// SecurityOpts are the names that security_opt may have.
func SecurityOpts() []string {
	return []string{OptNoNewPrivileges, OptSeccomp, OptAppArmor, OptLabel, OptSystemPaths, OptWritableCgroups}
}

// HostNamespace shares a namespace with the host: pid, ipc, uts, cgroup.
const HostNamespace = "host"

// Unconfined takes a confinement away.
const Unconfined = "unconfined"

// SeccompBuiltin is the engine's own seccomp profile.
const SeccompBuiltin = "builtin"

// CutSecurityOpt is the name and the value of an entry of security_opt:
// "seccomp=unconfined", or with a colon in its place.
func CutSecurityOpt(opt string) (name, value string) {
	if i := strings.IndexAny(opt, "=:"); i >= 0 {
		return opt[:i], opt[i+1:]
	}
	return opt, ""
}

// Confinement is what security_opt makes of a container.
type Confinement struct {
	NoNewPrivileges bool
	Seccomp         string // "": the engine's own profile; Unconfined; else a profile's JSON
	AppArmor        string // "": the default; Unconfined; else a profile's name
	SystemPaths     bool   // nothing of /proc and /sys is masked or read-only
	WritableCgroups *bool  // nil: those of privileged ones are
}

// Confinement is what the entries of security_opt say, the last one of a name.
func (s *Service) Confinement() Confinement {
	var c Confinement
	for _, opt := range s.SecurityOpt {
		name, value := CutSecurityOpt(opt)
		switch name {
		case OptNoNewPrivileges:
			c.NoNewPrivileges = isTrue(value)
		case OptSeccomp:
			c.Seccomp = s.SeccompProfile
			if value == Unconfined {
				c.Seccomp = Unconfined
			} else if value == SeccompBuiltin {
				c.Seccomp = ""
			}
		case OptAppArmor:
			c.AppArmor = value
		case OptSystemPaths:
			c.SystemPaths = value == Unconfined
		case OptWritableCgroups:
			writable := isTrue(value)
			c.WritableCgroups = &writable
		}
	}
	return c
}

// isTrue is what an option says that is on where it stands alone.
func isTrue(value string) bool {
	on, err := strconv.ParseBool(value)
	return on || err != nil
}
