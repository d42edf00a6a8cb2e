package builder

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/orlop/orlop/spec"
)

// bases lists the images that a Dockerfile takes something from: FROM, COPY
// --from and RUN --mount=from, with the arguments before the first FROM filled
// in. It is not whole where a Dockerfile can't be read, names an image that
// only the build can tell, or adds something of the network that may be another
// one tomorrow.
func bases(dockerfile []byte, b *spec.Build, opts Options) (refs []string, whole bool) {
	file, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, false
	}
	stages, args, err := instructions.Parse(file.AST, nil)
	if err != nil {
		return nil, false
	}
	f := &baseFinder{lex: shell.NewLex(file.EscapeToken), known: map[string]bool{"scratch": true}, whole: true}
	for name := range b.AdditionalContexts {
		f.known[strings.ToLower(name)] = true
	}
	f.env = f.arguments(args, b, opts)
	f.walk(stages, func(s instructions.Stage, base string) {
		f.add(base)
		for _, c := range s.Commands {
			f.command(c)
		}
	})
	return f.refs, f.whole
}

// namedContexts lists the images among the additional contexts. They are not
// fixed where one comes from the network otherwise: what a repository or an
// address gives may be another thing tomorrow.
func namedContexts(b *spec.Build) (refs []string, fixed bool) {
	fixed = true
	for _, from := range b.AdditionalContexts {
		if ref, ok := strings.CutPrefix(from, "docker-image://"); ok {
			refs = append(refs, ref)
		} else if spec.IsRemote(from) {
			fixed = false
		}
	}
	return refs, fixed
}

// Bases are the images that a build takes something from, as they are written; they are not whole where its
// Dockerfile can't be read, or one of them is known to the build alone.
func Bases(p *spec.Project, service string) (refs []string, whole bool) {
	b := p.Buildable(service).Build
	text, missing := rawDockerfile(b)
	if missing != nil {
		return nil, false
	}
	refs, whole = bases(text, b, Options{})
	images, _ := namedContexts(b)
	return append(refs, images...), whole
}

// Parents are the images that the stages of a build start from, by their full
// names; none where its Dockerfile can't be read.
func Parents(p *spec.Project, service string) (names []string) {
	b := p.Buildable(service).Build
	text, missing := rawDockerfile(b)
	if missing != nil {
		return nil
	}
	file, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	stages, args, err := instructions.Parse(file.AST, nil)
	if err != nil {
		return nil
	}
	f := &baseFinder{lex: shell.NewLex(file.EscapeToken), known: map[string]bool{"scratch": true}}
	f.env = f.arguments(args, b, Options{})
	f.walk(stages, func(_ instructions.Stage, ref string) {
		if f.known[strings.ToLower(ref)] {
			return
		}
		switch context := b.AdditionalContexts[ref]; {
		case strings.HasPrefix(context, "service:"):
			if base := strings.TrimPrefix(context, "service:"); p.Buildable(base) != nil {
				ref = p.ImageName(base)
			}
		case strings.HasPrefix(context, "docker-image://"):
			ref = strings.TrimPrefix(context, "docker-image://")
		}
		if full, err := reference.ParseDockerRef(ref); err == nil {
			names = append(names, full.String())
		}
	})
	return names
}

// baseFinder collects the images of one Dockerfile.
type baseFinder struct {
	lex   *shell.Lex
	env   shell.EnvGetter
	known map[string]bool // stages and named contexts, in lower case
	refs  []string
	whole bool
}

// walk gives each stage and what it starts from, nothing where only the build
// can tell. The name of a stage is known to those behind it.
func (f *baseFinder) walk(stages []instructions.Stage, each func(s instructions.Stage, base string)) {
	for _, s := range stages {
		base, err := f.lex.ProcessWordWithMatches(s.BaseName, f.env)
		if err != nil || strings.Contains(base.Result, "$") {
			base.Result = ""
		}
		each(s, base.Result)
		if s.Name != "" {
			f.known[strings.ToLower(s.Name)] = true
		}
	}
}

func (f *baseFinder) add(ref string) {
	if ref == "" {
		f.whole = false
	} else if !f.known[strings.ToLower(ref)] {
		f.refs = append(f.refs, ref)
	}
}

// from adds what COPY or a mount takes files from: another stage, by name or
// number, or an image.
func (f *baseFinder) from(ref string) {
	switch _, err := strconv.Atoi(ref); {
	case ref == "" || err == nil:
	case strings.Contains(ref, "$"):
		f.whole = false
	default:
		f.add(ref)
	}
}

func (f *baseFinder) command(c instructions.Command) {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		f.from(c.From)
	case *instructions.AddCommand:
		for _, source := range c.SourcePaths {
			if c.Checksum == "" && isElsewhere(source) {
				f.whole = false
			}
		}
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			f.from(m.From)
		}
	}
}

// isElsewhere says whether ADD gets a source from the network, or may: a
// variable can hold anything.
func isElsewhere(source string) bool {
	return strings.Contains(source, "://") || strings.HasPrefix(source, "git@") || strings.HasPrefix(source, "$")
}

// arguments are those that FROM may use: the file's own, as the stack file and
// the command give them, and those of the platform.
func (f *baseFinder) arguments(args []instructions.ArgCommand, b *spec.Build, opts Options) shell.EnvGetter {
	env := []string{"TARGETPLATFORM=linux/" + runtime.GOARCH, "TARGETOS=linux", "TARGETARCH=" + runtime.GOARCH, "TARGETVARIANT=",
		"BUILDPLATFORM=linux/" + runtime.GOARCH, "BUILDOS=linux", "BUILDARCH=" + runtime.GOARCH, "BUILDVARIANT="}
	for _, command := range args {
		for _, arg := range command.Args {
			value, set := "", false
			if arg.Value != nil {
				filled, err := f.lex.ProcessWordWithMatches(*arg.Value, shell.EnvsFromSlice(env))
				f.whole = f.whole && err == nil
				value, set = filled.Result, true
			}
			if given, ok := b.Args[arg.Key]; ok && given != nil {
				value, set = *given, true
			}
			if given, ok := opts.Args[arg.Key]; ok {
				value, set = given, true
			}
			if set {
				env = append(env, arg.Key+"="+value)
			}
		}
	}
	return shell.EnvsFromSlice(env)
}
