package values

import (
	"errors"
	"strings"
	"text/template"
)

// CheckTemplate says why a secret or config is no template (template_driver: golang).
// What it speaks of is known with its container alone.
func CheckTemplate(text string) error {
	known := func(...string) string { return "" }
	_, err := template.New("it").Funcs(template.FuncMap{"env": known, "secret": known, "config": known}).Parse(text)
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), "template: "))
}
