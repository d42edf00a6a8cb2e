package display

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/orlop/orlop/planner"
)

// WritePlan writes a plan as text or JSON.
func WritePlan(w io.Writer, plan *planner.Plan, format string, st Style) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if plan.Steps == nil { // a list for who reads it, also where it is empty
			all := *plan
			all.Steps, plan = []*planner.Step{}, &all
		}
		return enc.Encode(plan)
	}
	_, err := fmt.Fprint(w, paintPlan(plan.Text(), st))
	return err
}

// paintPlan colours the symbol of each line.
func paintPlan(text string, st Style) string {
	if !st.Color {
		return text
	}
	codes := map[rune]string{'+': "32", '~': "33", '±': "33", '-': "31", '!': "33"}
	out, atStart := "", true
	for i, r := range text {
		code, known := codes[r]
		if atStart && known && i+1 < len(text) {
			out += st.paint(code, string(r))
		} else {
			out += string(r)
		}
		atStart = r == '\n' || atStart && r == ' '
	}
	return out
}
