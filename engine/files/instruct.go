package files

import (
	"fmt"
	"path"
	"slices"
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
// says of itself. What they can't do is said at once.
func instructed(changes []string) (func(*dockerspec.DockerOCIImageConfig) error, error) {
	var commands []any
	for _, text := range changes {
		word, _, _ := strings.Cut(strings.TrimSpace(text), " ")
		if !slices.Contains(changeable, strings.ToUpper(word)) {
			return nil, fmt.Errorf("--change %q: it must begin with one of %s", text, strings.Join(changeable, ", "))
		}
		parsed, err := parser.Parse(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("--change %q: %w", text, err)
		}
		for _, node := range parsed.AST.Children {
			command, err := instructions.ParseInstruction(node)
			if err != nil {
				return nil, fmt.Errorf("--change %q: %w", text, err)
			}
			commands = append(commands, command)
		}
	}
	return func(config *dockerspec.DockerOCIImageConfig) error {
		for _, c := range commands {
			if err := instruct(config, c); err != nil {
				return fmt.Errorf("--change: %w", err)
			}
		}
		return nil
	}, nil
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
		return fmt.Errorf("%T changes files", command)
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

func expose(config *dockerspec.DockerOCIImageConfig, ports []string, fill func(string) (string, error)) error {
	for _, text := range ports {
		port, err := fill(text)
		if err != nil {
			return err
		}
		number, protocol, _ := strings.Cut(port, "/")
		if protocol == "" {
			protocol = "tcp"
		}
		if !isPorts(number) || !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
			return fmt.Errorf("EXPOSE %s: it must be a port such as 80, 53/udp or 8000-8010", port)
		}
		if config.ExposedPorts == nil {
			config.ExposedPorts = map[string]struct{}{}
		}
		config.ExposedPorts[number+"/"+protocol] = struct{}{}
	}
	return nil
}

// isPorts says that a text is a port or a range of them.
func isPorts(text string) bool {
	from, to, isRange := strings.Cut(text, "-")
	isPort := func(s string) bool {
		return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
	}
	return isPort(from) && (!isRange || isPort(to))
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
