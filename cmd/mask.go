package cmd

import (
	"github.com/orlop/orlop/cmd/junit"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

// maskWatch is an event of a watch without secrets.
func maskWatch(m *secret.Mask, e watch.Event) watch.Event {
	e.Text, e.Step = m.Text(e.Text), m.Text(e.Step)
	if e.Lines != nil {
		lines := make([]string, len(e.Lines))
		for i, l := range e.Lines {
			lines[i] = m.Text(l)
		}
		e.Lines = lines
	}
	return e
}

// maskReport hides secrets in all texts of a report, before XML escapes them.
func maskReport(m *secret.Mask, r *junit.Report) {
	each := func(texts ...*string) {
		for _, t := range texts {
			*t = m.Text(*t)
		}
	}
	each(&r.Name)
	for i := range r.Suites {
		s := &r.Suites[i]
		each(&s.Name, &s.Hostname, &s.Out, &s.Err)
		for j := range s.Properties {
			each(&s.Properties[j].Name, &s.Properties[j].Value)
		}
		for j := range s.Cases {
			k := &s.Cases[j]
			each(&k.Class, &k.Name, &k.Message, &k.Kind, &k.Detail, &k.Out, &k.Err)
		}
	}
}

// hideSecrets keeps the secrets of a project out of what the command prints of
// itself from here on, and in the log of a CI system out of all that is printed.
func (a *app) hideSecrets(p *spec.Project) {
	if a.mask == nil {
		a.mask = &secret.Mask{}
	}
	for _, payload := range p.Payloads {
		if payload.Secret {
			a.mask.Add(payload.Content)
		}
	}
	if a.inWorkflow() {
		a.hideOutput()
	}
}

// hideOutput keeps the secrets out of all that this command prints, what the
// stack's programs print included.
func (a *app) hideOutput() {
	if len(a.hiding) > 0 {
		return
	}
	out, errs := secret.NewWriter(a.world.Stdout, a.mask), secret.NewWriter(a.world.Stderr, a.mask)
	a.world.Stdout, a.world.Stderr, a.hiding = out, errs, []*secret.Writer{out, errs}
}

// endOutput prints what was kept back.
func (a *app) endOutput() {
	for _, w := range a.hiding {
		_ = w.Flush() // whoever reads it is gone
	}
}
