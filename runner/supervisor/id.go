package supervisor

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// NewID is a container ID as Docker makes them: 64 hexadecimal digits. Its
// first twelve are the container's host name, so they are never digits alone:
// the C library takes such a name for an address, and finds nothing.
func NewID() string {
	b := make([]byte, 32)
	for {
		rand.Read(b)
		if id := hex.EncodeToString(b); strings.ContainsAny(id[:12], "abcdef") {
			return id
		}
	}
}
