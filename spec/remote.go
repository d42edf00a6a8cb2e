package spec

import (
	"regexp"
	"strings"
)

// scpForm is a repository over ssh as scp names it: git@host:path.
var scpForm = regexp.MustCompile(`^[a-zA-Z0-9_-]+@[a-zA-Z0-9.-]+:`)

// IsRemote says whether a build context is fetched and not a directory, in the
// forms that BuildKit takes: an address with its scheme, github.com/OWNER/REPO
// and USER@HOST:PATH, with #REF:SUBDIR behind each (Compose Specification,
// build.context).
func IsRemote(context string) bool {
	return strings.Contains(context, "://") || IsRemoteName(context)
}

// IsRemoteName says whether a context is remote by a form that a directory's
// name could have, too.
func IsRemoteName(context string) bool {
	return strings.HasPrefix(context, "github.com/") || scpForm.MatchString(context)
}
