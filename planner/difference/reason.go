package difference

import (
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Reason is why a step is needed: a field that differs, or a sentence.
type Reason struct {
	Path  string     `json:"path,omitempty"` // "services.web.environment.LOG"
	From  string     `json:"from,omitempty"` // as JSON; empty where it was unset
	To    string     `json:"to,omitempty"`
	Text  string     `json:"text,omitempty"`
	Place spec.Place `json:"place"`
}

// String is the reason as a user reads it, without its place.
func (r Reason) String() string {
	if r.Text != "" {
		return r.Text
	}
	from, to := r.From, r.To
	if strings.HasSuffix(r.Path, ".mem_limit") {
		from, to = size(from), size(to)
	}
	if from == "" {
		from = "unset"
	}
	if to == "" {
		to = "unset"
	}
	path := r.Path
	if strings.HasSuffix(path, ".userns_mode") { // the stack file can say host alone
		path += " (userns_remap of the engine)"
	}
	return path + ": " + from + " -> " + to
}

// size writes a JSON number of bytes as a stack file would: 256m.
func size(text string) string {
	n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil {
		return text
	}
	unit := 0
	for n != 0 && n%1024 == 0 && unit < 3 {
		n /= 1024
		unit++
	}
	return strconv.FormatInt(n, 10) + []string{"", "k", "m", "g"}[unit]
}
