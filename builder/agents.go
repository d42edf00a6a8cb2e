package builder

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/sshforward"
	"github.com/moby/buildkit/session/sshforward/sshprovider"

	"github.com/orlop/orlop/spec"
)

// agentVariable names the socket of the caller's ssh agent.
const agentVariable = "SSH_AUTH_SOCK"

// agents lends the ssh agents and keys that a build asks for; nil are none. They stay
// here: a step that is lent one has its signatures, and never a key. A context that is
// fetched over ssh has the caller's own agent, as in Docker.
func (s *Session) agents(service string) (session.Attachable, error) {
	b := s.project.Buildable(service).Build
	var lent []sshprovider.AgentConfig
	for _, id := range slices.Sorted(maps.Keys(b.SSH)) {
		config, err := agentOf(id, b.SSH[id])
		if err != nil {
			path := "services." + service + ".build.ssh." + id
			return nil, &spec.Mistakes{Diagnostics: spec.Diagnostics{{
				Severity: spec.Error, Path: path, Place: s.project.Places.Nearest(path), Message: err.Error(),
				Hint: "name a key, or the socket of an agent that runs, as in " + id + "=PATH",
			}}}
		}
		lent = append(lent, config)
	}
	if _, given := b.SSH[sshforward.DefaultID]; !given && usesGitOverSSH(b) && os.Getenv(agentVariable) != "" {
		if config, err := agentOf(sshforward.DefaultID, nil); err == nil {
			lent = append(lent, config)
		}
	}
	if len(lent) == 0 {
		return nil, nil
	}
	return sshprovider.NewSSHAgentProvider(lent)
}

func usesGitOverSSH(b *spec.Build) bool {
	return spec.IsGitOverSSH(b.Context) || slices.ContainsFunc(slices.Collect(maps.Values(b.AdditionalContexts)), spec.IsGitOverSSH)
}

// agentOf is one agent to lend: a key or a socket, or the caller's own.
func agentOf(id string, path *string) (sshprovider.AgentConfig, error) {
	config := sshprovider.AgentConfig{ID: id}
	from := os.Getenv(agentVariable)
	if path != nil {
		from = *path
	} else if from == "" {
		return config, fmt.Errorf("no ssh agent to lend: %s is not set", agentVariable)
	}
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return config, fmt.Errorf("cannot lend the ssh agent or key %s: %w", from, errors.Unwrap(err))
	case info.Mode()&os.ModeSocket == 0 && !info.Mode().IsRegular():
		return config, fmt.Errorf("cannot lend %s: it is neither a key nor the socket of an ssh agent", from)
	}
	config.Paths = []string{from}
	if _, err := sshprovider.NewSSHAgentProvider([]sshprovider.AgentConfig{config}); err != nil {
		return config, fmt.Errorf("cannot lend the key %s: %w", from, rootOf(err))
	}
	return config, nil
}

// rootOf is the cause of an error, without what was said around it.
func rootOf(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}
