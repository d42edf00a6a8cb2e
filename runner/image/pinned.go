package image

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// CheckDigest is an error if the full form of a reference has a digest and is to be,
// or is, the name of something that has another. An archive, or another client of
// containerd, can give any name to anything.
func CheckDigest(name string, target digest.Digest) error {
	if _, want, has := strings.Cut(name, "@"); has && want != target.String() {
		return fmt.Errorf("what %s names has the digest %s", name, target)
	}
	return nil
}
