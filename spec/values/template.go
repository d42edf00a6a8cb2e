package values

import (
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// CheckTemplateDriver refuses a secret or config that is to be filled in by a program which
// is not there.
func CheckTemplateDriver(r tree.Reporter, n *tree.Node, path string) {
	if driver := n.Value("template_driver"); driver != nil && driver.Kind == tree.ScalarNode && driver.Text != "golang" && driver.Text != "" {
		r.Fail(driver, path+".template_driver", fmt.Sprintf("%q is not one of golang", spec.Shorten(driver.Text)), "write golang, or the content as it is to be")
	}
}

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
