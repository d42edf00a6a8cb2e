package files

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// changeable are the instructions of a Dockerfile that change what an image says of itself
// and no file.
var changeable = []string{"CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}

// instructed gives a function that carries out instructions of a Dockerfile on what an image
// says of itself. What they can't do to any image is said at once.
func instructed(changes []string) (func(*dockerspec.DockerOCIImageConfig) error, error) {
	for _, text := range changes {
		if _, err := parsed(text); err != nil {
			return nil, fmt.Errorf("--change %q: %w", text, err)
		}
	}
	return func(config *dockerspec.DockerOCIImageConfig) error {
		for _, text := range changes {
			commands, err := parsed(text) // anew: variables are filled in
			for i := 0; i < len(commands) && err == nil; i++ {
				err = instruct(config, commands[i])
			}
			if err != nil {
				return fmt.Errorf("--change %q: %w", text, err)
			}
		}
		return nil
	}, nil
}

// parsed are the instructions of a text, all of which must be changeable.
func parsed(text string) (commands []any, err error) {
	only := "it must begin with one of " + strings.Join(changeable, ", ")
	if strings.TrimSpace(text) == "" {
		return nil, errors.New(only)
	}
	file, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	for i, node := range file.AST.Children {
		word := strings.ToUpper(node.Value)
		switch {
		case slices.Contains(changeable, word):
		case i > 0:
			return nil, fmt.Errorf("%s: an instruction must be one of %s", word, strings.Join(changeable, ", "))
		default:
			return nil, errors.New(only)
		}
		command, err := instructions.ParseInstruction(node)
		if err != nil {
			return nil, err
		}
		commands = append(commands, command)
	}
	return commands, nil
}

// instruct carries out an instruction (Dockerfile reference).
func instruct(config *dockerspec.DockerOCIImageConfig, command any) error {
	lex, env := shell.NewLex('\\'), shell.EnvsFromSlice(config.Env)
	fill := func(word string) (string, error) {
		text, _, err := lex.ProcessWord(word, env)
		return text, err
	}
	if e, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		if err := e.Expand(fill); err != nil {
			return err
		}
	}
	switch c := command.(type) {
	case *instructions.CmdCommand:
		config.Cmd = line(config, c.ShellDependantCmdLine)
	case *instructions.EntrypointCommand:
		config.Entrypoint = line(config, c.ShellDependantCmdLine)
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			config.Env = setVariable(config.Env, kv.Key, kv.Value)
		}
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			if config.Labels == nil {
				config.Labels = map[string]string{}
			}
			config.Labels[kv.Key] = kv.Value
		}
	case *instructions.ExposeCommand:
		return expose(config, c.Ports, fill)
	case *instructions.VolumeCommand:
		for _, v := range c.Volumes {
			if config.Volumes == nil {
				config.Volumes = map[string]struct{}{}
			}
			config.Volumes[v] = struct{}{}
		}
	case *instructions.WorkdirCommand:
		if config.WorkingDir = c.Path; !path.IsAbs(c.Path) {
			return fmt.Errorf("WORKDIR %s: it must be an absolute path", c.Path)
		}
	case *instructions.UserCommand:
		config.User = c.User
	case *instructions.StopSignalCommand:
		config.StopSignal = c.Signal
	case *instructions.OnbuildCommand:
		config.OnBuild = append(config.OnBuild, c.Expression)
	case *instructions.HealthCheckCommand:
		config.Healthcheck = c.Health
	default:
		return fmt.Errorf("internal error: %T is no instruction that changes no file", command)
	}
	return nil
}

// line is a command as an image has it: with the shell that runs it where it needs one.
func line(config *dockerspec.DockerOCIImageConfig, c instructions.ShellDependantCmdLine) []string {
	if !c.PrependShell {
		return c.CmdLine
	}
	sh := config.Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(sh), c.CmdLine...)
}

// expose adds ports to those of an image.
func expose(config *dockerspec.DockerOCIImageConfig, ports []string, fill func(string) (string, error)) error {
	for _, text := range ports {
		filled, err := fill(text)
		if err != nil {
			return err
		}
		list, err := portsOf(filled)
		if err != nil {
			return fmt.Errorf("EXPOSE %s: %w", filled, err)
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts = map[string]struct{}{}
		}
		for _, port := range list {
			config.ExposedPorts[port] = struct{}{}
		}
	}
	return nil
}

// portsOf are the ports of a text such as 80, 53/udp or 8000-8010, each with its protocol.
func portsOf(text string) (list []string, err error) {
	numbers, protocol, _ := strings.Cut(text, "/")
	from, to, isRange := strings.Cut(numbers, "-")
	if !isRange {
		to = from
	}
	first, errFirst := strconv.ParseUint(from, 10, 16)
	last, errLast := strconv.ParseUint(to, 10, 16)
	protocol = strings.ToLower(cmp.Or(protocol, "tcp"))
	if errFirst != nil || errLast != nil || first == 0 || first > last || !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
		return nil, errors.New("it must be a port from 1 to 65535, or a range of them, such as 80, 53/udp or 8000-8010")
	}
	for n := first; n <= last; n++ {
		list = append(list, strconv.FormatUint(n, 10)+"/"+protocol)
	}
	return list, nil
}

// setVariable gives a variable of an environment a value.
func setVariable(env []string, name, value string) []string {
	for i, kv := range env {
		if k, _, _ := strings.Cut(kv, "="); k == name {
			env = slices.Clone(env)
			env[i] = name + "=" + value
			return env
		}
	}
	return append(slices.Clone(env), name+"="+value)
}
