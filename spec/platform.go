package spec

import (
	"slices"
	"strings"
)

// PlatformOn is the platform whose image the containers of a service are made from on
// a machine; "" is the machine's own. An image that is built for several has that one.
func (s *Service) PlatformOn(machine string) string {
	isMachines := func(p string) bool { return p == machine || strings.HasPrefix(p, machine+"/") }
	switch {
	case isMachines(s.Platform):
		return ""
	case s.Platform != "" || s.Build == nil || len(s.Build.Platforms) == 0 || slices.ContainsFunc(s.Build.Platforms, isMachines):
		return s.Platform
	}
	return s.Build.Platforms[0]
}

// BuiltFor are the platforms that the image of a service is built for; none is the
// machine's own.
func (s *Service) BuiltFor() []string {
	if len(s.Build.Platforms) == 0 && s.Platform != "" {
		return []string{s.Platform}
	}
	return s.Build.Platforms
}

// PlatformKey is the path of the key that says what PlatformOn is.
func (s *Service) PlatformKey() string {
	path := "services." + s.Name + ".platform"
	if s.Platform == "" && s.Build != nil && len(s.Build.Platforms) > 0 {
		path = "services." + s.Name + ".build.platforms"
	}
	return path
}
