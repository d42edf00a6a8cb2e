package consent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
)

// Text lists what a stack asks for, with its places; own are the engine's
// directories. As JSON it is a list, which may be empty.
func Text(p *spec.Project, format string, own ...string) (string, error) {
	found := requests(p, own)
	if format == "json" {
		data, err := json.MarshalIndent(append([]privilege.Request{}, found...), "", "  ")
		return string(data) + "\n", err
	}
	if len(found) == 0 {
		return "nothing beyond what every container gets\n", nil
	}
	return table("", found), nil
}

// inert is text of somebody else that steers no terminal, begins no line, and is read in
// the direction that it is written in, with nothing in it that is not seen.
func inert(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || spec.IsUnseen(c) {
			return ' '
		}
		return c
	}, text)
}

// table are lines with what is asked for.
func table(indent string, found []privilege.Request) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range found {
		at := "-"
		if r.Place.File != "" {
			at = r.Place.String()
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\n", indent, inert(string(r.Kind)), inert(at), inert(r.Path), inert(r.Value), inert(r.Text))
	}
	w.Flush()
	return b.String()
}
