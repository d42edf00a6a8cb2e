package builder

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/orlop/orlop/spec"
)

// CachedSteps are the steps of a build whose inputs are unchanged, named as BuildKit names them ("[2/2] COPY a b"), as far as its Dockerfile
// tells them: those of the stage that becomes the image, and of the stages that it stands on. There are none where it can't be read.
func CachedSteps(p *spec.Project, service string) (names []string) {
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
		names = append(stageSteps(stages, i), names...)
		base, ok := instructions.HasStage(stages[:i], stages[i].BaseName)
		if !ok {
			return names
		}
		i = base
	}
}

// stageSteps names the steps of one stage. Instructions that only change the configuration of the image are none.
func stageSteps(stages []instructions.Stage, i int) (names []string) {
	s := &stages[i]
	from := "FROM " + s.BaseName
	if _, isStage := instructions.HasStage(stages[:i], s.BaseName); isStage || strings.EqualFold(s.BaseName, "scratch") {
		from = "" // nothing is done for it
	}
	texts := []string{from}
	for _, c := range s.Commands {
		switch c := c.(type) {
		case *instructions.RunCommand, *instructions.CopyCommand, *instructions.AddCommand, *instructions.WorkdirCommand:
			texts = append(texts, strings.Join(strings.Fields(c.(fmt.Stringer).String()), " "))
		}
	}
	stage := ""
	if len(stages) > 1 {
		if stage = s.Name + " "; s.Name == "" {
			stage = fmt.Sprintf("stage-%d ", i)
		}
	}
	for n, text := range texts {
		if text != "" {
			names = append(names, fmt.Sprintf("[%s%d/%d] %s", stage, n+1, len(texts), text))
		}
	}
	return names
}
