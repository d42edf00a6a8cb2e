package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
)

// securityText lists what a stack asks for, with its places; own are the engine's
// directories. As JSON it is a
// list, which may be empty.
func securityText(p *spec.Project, format string, own ...string) (string, error) {
	found := privilege.Of(p, p.WorkingDir, own...)
	if format == "json" {
		data, err := json.MarshalIndent(append([]privilege.Request{}, found...), "", "  ")
		return string(data) + "\n", err
	}
	if len(found) == 0 {
		return "nothing beyond what every container gets\n", nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range found {
		at := "-"
		if r.Place.File != "" {
			at = fmt.Sprintf("%s:%d:%d", r.Place.File, r.Place.Line, r.Place.Column)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Kind, at, r.Path, r.Value, r.Text)
	}
	w.Flush()
	return b.String(), nil
}
