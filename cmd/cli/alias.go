package cli

import (
	"fmt"
	"regexp"
)

var aliasForm = regexp.MustCompile(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?$`)

// CheckAliases is an error where nobody could ask for a name of a flag.
func CheckAliases(flag string, names []string) error {
	for _, name := range names {
		if len(name) > 253 || !aliasForm.MatchString(name) {
			return fmt.Errorf("--%s is %.100q, which nobody can ask a name server for: use letters, digits, - and _, with dots between up to 63 of them", flag, name)
		}
	}
	return nil
}
