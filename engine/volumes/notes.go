package volumes

import (
	"fmt"

	"github.com/orlop/orlop/api"
)

// mostNotes is how many files that are left out are named.
const mostNotes = 20

// notes are words about files that are left out.
type notes struct {
	list []string
	more int
}

func (n *notes) add(at, why string) {
	if len(n.list) == mostNotes {
		n.more++
		return
	}
	n.list = append(n.list, api.Valid(at+": "+why))
}

func (n *notes) all() []string {
	if n.more > 0 {
		return append(n.list, fmt.Sprintf("and of %d more files", n.more))
	}
	return n.list
}
