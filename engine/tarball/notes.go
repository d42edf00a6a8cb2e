package tarball

import (
	"fmt"

	"github.com/orlop/orlop/api"
)

// mostNotes is how many files that are left out are named.
const mostNotes = 20

// Notes are words about files that are left out.
type Notes struct {
	list []string
	more int
}

// Add says why a file is left out.
func (n *Notes) Add(at, why string) {
	if len(n.list) == mostNotes {
		n.more++
		return
	}
	n.list = append(n.list, api.Valid(at+": "+why))
}

// All are the words: of the first files each one, of the others how many.
func (n *Notes) All() []string {
	if n.more > 0 {
		return append(n.list, fmt.Sprintf("and of %d more files", n.more))
	}
	return n.list
}
