package spec

import (
	"fmt"
	"strings"
	"time"
)

// pullPolicies are the values of pull_policy that are words.
func pullPolicies() []string {
	return []string{"always", "missing", "if_not_present", "never", "build", "daily", "weekly", "refresh"}
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
	return parseDuration(span)
}

// pullPolicy checks when the image of a service is pulled.
func (v *validator) pullPolicy(s *node, path string) {
	policy := s.value("pull_policy")
	if policy == nil || policy.kind != scalarNode || policy.text == "" && len(policy.unset) > 0 {
		return
	}
	for _, word := range pullPolicies() {
		if policy.text == word {
			return
		}
	}
	if _, ok := RefreshAfter(policy.text); ok {
		return
	}
	v.l.fail(policy, path+".pull_policy", fmt.Sprintf("%q is not one of %s, every_TIME", shorten(policy.text), strings.Join(pullPolicies(), ", ")),
		cmpOr(didYouMean(policy.text, pullPolicies()), "write a time as in every_2d or every_12h"))
}
