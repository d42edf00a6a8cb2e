package ports

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Environment writes published ports down as variables: dotenv, json or shell.
func Environment(lines []Line, format string) (string, error) {
	return variablesText(portVariables(lines), format)
}

// variable is one variable of the environment.
type variable struct{ name, value string }

// portVariables are three variables for each published port: SERVICE_TARGET_PORT,
// _ADDRESS and _URL. Further replicas have their number after the service, UDP
// ports the word UDP after the target. Of several ports to one target it is the
// first.
func portVariables(lines []Line) []variable {
	var out []variable
	seen := map[string]bool{}
	for _, l := range lines {
		name := variableName(l.Service)
		if l.Index > 1 {
			name += "_" + strconv.Itoa(l.Index)
		}
		name += "_" + strconv.Itoa(l.Target)
		if l.Protocol != "tcp" {
			name += "_" + variableName(l.Protocol)
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		out = append(out, variable{name + "_PORT", strconv.Itoa(l.Port)}, variable{name + "_ADDRESS", l.Address()}, variable{name + "_URL", l.URL})
	}
	return out
}

// variableName is a word as it stands in the name of a variable.
func variableName(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(s))
	if s != "" && '0' <= s[0] && s[0] <= '9' {
		s = "_" + s
	}
	return s
}

// variablesText writes variables down. Their values are numbers and addresses:
// nothing in them needs an escape.
func variablesText(list []variable, format string) (string, error) {
	if format == "json" {
		values := map[string]string{}
		for _, v := range list {
			values[v.name] = v.value
		}
		text, err := json.MarshalIndent(values, "", "  ")
		return string(text) + "\n", err
	}
	var b strings.Builder
	for _, v := range list {
		if format == "shell" {
			fmt.Fprintf(&b, "export %s='%s'\n", v.name, v.value)
		} else {
			fmt.Fprintf(&b, "%s=%s\n", v.name, v.value)
		}
	}
	return b.String(), nil
}
