package stackfile

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"
)

// wholeReference is the form of a reference: [HOST[:PORT]/]NAME[:TAG][@DIGEST].
var wholeReference = sync.OnceValue(func() *regexp.Regexp {
	const (
		component = `[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*`
		host      = `(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?`
		tag       = `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`
		digest    = `[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{32,}`
	)
	return regexp.MustCompile(`^(?:` + host + `/)?` + component + `(?:/` + component + `)*(?::` + tag + `)?(?:@` + digest + `)?$`)
})

// isWholeImage says whether an image is whole in spite of variables without a
// value: they stand before it, as a registry that there may be.
func isWholeImage(n *tree.Node, path string) bool {
	if !strings.HasPrefix(path, "services.") || !strings.HasSuffix(path, ".image") || !wholeReference().MatchString(n.Text) {
		return false
	}
	return !slices.ContainsFunc(n.Unset(), func(u variables.UnsetVariable) bool { return !u.Leading })
}
