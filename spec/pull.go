package spec

import (
	"strings"
	"time"
)

// PullPolicies are the values of pull_policy that are words.
func PullPolicies() []string {
	return []string{"always", "missing", "if_not_present", "never", "build", "daily", "weekly", "refresh"}
}

// RefreshAfter is how long after its last pull the service's image is pulled anew by a
// policy: as the policy says, or as pull_refresh_after does of refresh.
func (s *Service) RefreshAfter(policy string) (age time.Duration, isTimed bool) {
	if after, ok := ParseDuration(s.PullRefreshAfter); ok && policy == "refresh" && s.PullRefreshAfter != "" {
		return after, true
	}
	return RefreshAfter(policy)
}

// RefreshAfter is how long after its last pull an image is pulled anew, for
// the policies that say so (Compose Specification, "pull_policy"): daily,
// weekly, every_TIME, and refresh, which is each time.
func RefreshAfter(policy string) (age time.Duration, isTimed bool) {
	const day = 24 * time.Hour
	switch policy {
	case "refresh":
		return 0, true
	case "daily":
		return day, true
	case "weekly":
		return 7 * day, true
	}
	span, isTimed := strings.CutPrefix(policy, "every_")
	if !isTimed || span == "" {
		return 0, false
	}
	return ParseDuration(span)
}
