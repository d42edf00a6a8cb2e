// Package logtag fills in the tag of a log: a template that may speak of the container as
// Docker's drivers know it. It knows no container itself.
package logtag

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"time"
)

// Info is what the tag of a log may speak of: what Docker's drivers know of a
// container, by the same names.
type Info struct {
	Config              map[string]string // the options of the driver
	ContainerID         string
	ContainerName       string // with a slash before it, as Docker has it
	ContainerEntrypoint string
	ContainerArgs       []string
	ContainerImageID    string
	ContainerImageName  string
	ContainerCreated    time.Time
	ContainerEnv        []string
	ContainerLabels     map[string]string
	DaemonName          string
	Host                string // name of the machine
}

// Command is the command line.
func (i *Info) Command() string {
	return strings.Join(append([]string{i.ContainerEntrypoint}, i.ContainerArgs...), " ")
}

// ID is the short form of the container's.
func (i *Info) ID() string { return i.ContainerID[:min(12, len(i.ContainerID))] }

// FullID is the container's.
func (i *Info) FullID() string { return i.ContainerID }

// Name is the container's.
func (i *Info) Name() string { return strings.TrimPrefix(i.ContainerName, "/") }

// ImageID is the short form of the image's.
func (i *Info) ImageID() string { return i.ContainerImageID[:min(12, len(i.ContainerImageID))] }

// ImageFullID is the image's.
func (i *Info) ImageFullID() string { return i.ContainerImageID }

// ImageName is the image's reference.
func (i *Info) ImageName() string { return i.ContainerImageName }

// Hostname is the name of the machine.
func (i *Info) Hostname() string { return i.Host }

// ExtraAttributes are the labels and variables that the options labels, labels-regex,
// env and env-regex name; rename may be nil.
func (i *Info) ExtraAttributes(rename func(string) string) (map[string]string, error) {
	extra := map[string]string{}
	add := func(names, pattern string, from map[string]string) error {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return err
		}
		named := strings.Split(names, ",")
		for k, v := range from {
			isNamed := false
			for _, n := range named {
				isNamed = isNamed || n == k
			}
			if !isNamed && (pattern == "" || !re.MatchString(k)) {
				continue
			}
			if rename != nil {
				k = rename(k)
			}
			extra[k] = v
		}
		return nil
	}
	variables := map[string]string{}
	for _, pair := range i.ContainerEnv {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	if err := add(i.Config["labels"], i.Config["labels-regex"], i.ContainerLabels); err != nil {
		return nil, err
	}
	return extra, add(i.Config["env"], i.Config["env-regex"], variables)
}

// Expand fills in a tag, which is a template ("{{.Name}}"); "" is the short ID of
// the container.
func Expand(tag string, info *Info) (string, error) {
	if tag == "" {
		tag = "{{.ID}}"
	}
	t, err := template.New("tag").Funcs(tagFunctions()).Parse(tag)
	if err != nil {
		return "", fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "template: "))
	}
	var b strings.Builder
	if err := t.Execute(&b, info); err != nil {
		return "", fmt.Errorf("%s", strings.TrimPrefix(err.Error(), "template: "))
	}
	return b.String(), nil
}

// tagFunctions are those that Docker gives to templates.
func tagFunctions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) string {
			b, err := json.Marshal(v)
			if err != nil {
				return ""
			}
			return string(b)
		},
		"split": strings.Split,
		"join":  strings.Join,
		"title": func(s string) string { return strings.ToUpper(s[:min(1, len(s))]) + s[min(1, len(s)):] },
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", max(0, before)) + s + strings.Repeat(" ", max(0, after))
		},
		"truncate": func(s string, n int) string { return s[:max(0, min(n, len(s)))] },
	}
}
