package fetched

import (
	"fmt"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/variables"
)

// told is what of the caller's stands in the files of remote stacks. A reference there
// is fetched before the user has said yes to anything, so that it must have none of it.
type told struct {
	at    map[spec.Place]string // a variable in the text there
	names map[string]bool       // variables that a remote stack brings, made of the caller's
}

// Tell notes a variable with something of the caller's in the text at a place of a
// remote stack.
func (s *Set) Tell(at spec.Place, variable string) {
	if s.told.at == nil {
		s.told.at = map[spec.Place]string{}
	}
	s.told.at[at] = variable
}

// Tells says that a variable which a remote stack brings is made of the caller's.
func (s *Set) Tells(variable string) bool { return s.told.names[variable] }

// Compare notes which values of environment files, if they are a remote stack's, are
// others than they would be by what it brings itself.
func (s *Set) Compare(values map[string]string, files []string, read func(path string) ([]byte, error), own func(name string) (string, bool)) {
	brought, isRemote := map[string]string{}, false
	for _, file := range files {
		isRemote = isRemote || s.Of(file) != nil
		if text, err := read(file); err == nil {
			variables.ReadEnv(string(text), false, brought, func(name string) (string, bool) {
				value, ok := own(name)
				return value, ok && !s.Tells(name)
			})
		}
	}
	for name, value := range values {
		if has, ok := brought[name]; isRemote && (!ok || has != value) {
			if s.told.names == nil {
				s.told.names = map[string]bool{}
			}
			s.told.names[name] = true
		}
	}
}

// Refuse refuses a reference in a file of a remote stack that has something of the
// caller's in it, and says whether it does.
func (s *Set) Refuse(report tree.Reporter, n *tree.Node, path string) bool {
	variable, ok := s.told.at[n.At]
	if ok {
		report.Fail(n, path, fmt.Sprintf("the address has %s, which is a variable of yours or made of one: it would be sent there before you are asked", variable),
			"unset the variable, or name the other stack in a file of your own")
	}
	return ok
}
