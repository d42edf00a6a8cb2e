package rootfs

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"text/template"

	"github.com/orlop/orlop/spec"
)

// Facts are what a secret or config that is a template may speak of: those of a task of
// a swarm, by the same names.
type Facts struct {
	Service struct {
		ID, Name string
		Labels   map[string]string
	}
	Node struct {
		ID, Hostname string
		Platform     struct{ Architecture, OS string }
	}
	Task struct{ ID, Name, Slot string }
}

// Rendered gives a project's contents as a container of a service gets them: with those
// filled in that are templates, by their keys. What comes of a secret is hidden as a
// secret is; copies is as for Mask.
func (p *Payloads) Rendered(project string, copies Copies, s *spec.Service, templates []string, facts *Facts) func(key string) ([]byte, error) {
	made := rendered(s, templates, facts, p.Of(project, copies))
	return func(key string) ([]byte, error) {
		content, err := made(key)
		if err == nil && IsSecret(key) && slices.Contains(templates, key) {
			p.Mask(project, copies).Add(content)
		}
		return content, err
	}
}

// rendered gives contents with those filled in that are templates, by their keys.
func rendered(s *spec.Service, templates []string, facts *Facts, content func(key string) ([]byte, error)) func(key string) ([]byte, error) {
	return func(key string) ([]byte, error) {
		text, err := content(key)
		if err != nil || !slices.Contains(templates, key) {
			return text, err
		}
		made, err := render(string(text), s, facts, content)
		if err != nil {
			return nil, fmt.Errorf("%s is a template that can't be filled in: %w", key, err)
		}
		return made, nil
	}
}

func render(text string, s *spec.Service, facts *Facts, content func(key string) ([]byte, error)) ([]byte, error) {
	// Others are known by where they are in the container, and only the service's own.
	other := func(kind string, uses []spec.FileMount) func(target string) (string, error) {
		return func(target string) (string, error) {
			for _, use := range uses {
				if cmp.Or(use.Target, use.Source) == target {
					text, err := content(kind + "." + use.Source)
					return string(text), err
				}
			}
			return "", fmt.Errorf("the service has no %s whose target is %q", kind[:len(kind)-1], target)
		}
	}
	t, err := template.New("it").Option("missingkey=error").Funcs(template.FuncMap{
		"env":    func(name string) string { return deref(s.Environment[name]) },
		"secret": other("secrets", s.Secrets),
		"config": other("configs", s.Configs),
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, facts)
	return out.Bytes(), err
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
