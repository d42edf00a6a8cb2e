package api

import (
	"fmt"
	"strings"
)

// Named is which of n containers a name is that of, or an ID, or else the first digits of an
// ID: those of one alone. -1: of none.
func Named(text string, n int, of func(i int) (name, id string)) (int, error) {
	found, many := -1, 0
	for i := range n {
		switch name, id := of(i); {
		case name == text || id == text:
			return i, nil
		case text != "" && strings.HasPrefix(id, text):
			found = i
			many++
		}
	}
	if many > 1 {
		return -1, fmt.Errorf("%q begins the IDs of %d containers: write more of it", text, many)
	}
	return found, nil
}
