package engine

import (
	"context"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"

	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/settings"
)

// loggedIn gives registries to BuildKit with the logins of the settings: its
// own authorizer knows those of the caller's session only, and replaces ours.
func loggedIn(hosts docker.RegistryHosts, root string) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		if err != nil {
			return nil, err
		}
		for i := range list {
			plain := list[i].Client
			if plain == nil {
				plain = http.DefaultClient
			}
			client := *plain
			client.Transport = &outbound.Login{
				Host: list[i].Host, Base: transportOf(plain),
				Authorizer: outbound.InTurn(docker.NewDockerAuthorizer(docker.WithAuthClient(plain), docker.WithAuthCreds(func(host string) (string, string, error) {
					s, err := settings.Load(root)
					if err != nil {
						return "", "", err
					}
					return s.Credentials(host)
				}))),
			}
			list[i].Client = &client
		}
		return list, nil
	}
}

func transportOf(c *http.Client) http.RoundTripper {
	if c == nil || c.Transport == nil {
		return http.DefaultTransport
	}
	return c.Transport
}

// credentials asks the caller's session, then the engine's settings, for the
// login of a registry.
func (e *Engine) credentials(ctx context.Context, sessionID string) func(host string) (string, string, error) {
	return func(host string) (string, string, error) {
		if sessionID != "" && e.needKit(ctx) == nil {
			ask := auth.CredentialsFunc(ctx, e.kit.Sessions, session.NewGroup(sessionID))
			if _, user, secret, err := ask(host); err == nil && secret != "" {
				return user, secret, nil
			}
		}
		s, err := settings.Load(e.cfg.Root)
		if err != nil {
			return "", "", err
		}
		return s.Credentials(host)
	}
}

// hostsOf are the registries with the logins that a session of the caller's lends.
func (e *Engine) hostsOf(ctx context.Context, session string) docker.RegistryHosts {
	return e.hosts(e.credentials(ctx, session))
}

// hosts gives the registries with their logins to the runner.
func (e *Engine) hosts(credentials func(host string) (string, string, error)) docker.RegistryHosts {
	base := registryHosts(e.cfg.Root, &e.callersOut)
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := base(host)
		for i := range list {
			list[i].Authorizer = outbound.InTurn(docker.NewDockerAuthorizer(
				docker.WithAuthClient(list[i].Client), docker.WithAuthCreds(credentials)))
		}
		return list, err
	}
}
