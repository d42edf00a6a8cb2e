package builder

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/orlop/orlop/spec"
)

// UnchangedInstructions are those that a build does not carry out because no input of it has changed ("COPY a b"), as its Dockerfile has them:
// what changes files in the stage that becomes the image, and in the stages that it stands on by name. There are none where the file can't
// be read.
func UnchangedInstructions(p *spec.Project, service string) (list []string) {
	b := p.Buildable(service).Build
	text, missing := rawDockerfile(b)
	if missing != nil {
		return nil
	}
	file, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	stages, _, err := instructions.Parse(file.AST, nil)
	if err != nil || len(stages) == 0 {
		return nil
	}
	last := len(stages) - 1
	if b.Target != "" {
		i, ok := instructions.HasStage(stages, b.Target)
		if !ok {
			return nil
		}
		last = i
	}
	for i := last; ; {
		list = append(instructionsOf(&stages[i]), list...)
		base, ok := instructions.HasStage(stages[:i], stages[i].BaseName)
		if !ok {
			return list
		}
		i = base
	}
}

// instructionsOf are those of a stage that change files.
func instructionsOf(s *instructions.Stage) (list []string) {
	for _, c := range s.Commands {
		switch c := c.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand, *instructions.WorkdirCommand:
			list = append(list, strings.Join(strings.Fields(c.(fmt.Stringer).String()), " "))
		}
	}
	return list
}
