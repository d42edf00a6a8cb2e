package engine

import (
	"context"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
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
			client.Transport = &loginTransport{
				host: list[i].Host, base: transportOf(plain),
				authorizer: docker.NewDockerAuthorizer(docker.WithAuthClient(plain), docker.WithAuthCreds(func(host string) (string, string, error) {
					s, err := loadSettings(root)
					if err != nil {
						return "", "", err
					}
					return s.credentials(host)
				})),
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

// loginTransport logs in to one registry when it refuses a request that comes
// without a login.
type loginTransport struct {
	host       string
	base       http.RoundTripper
	authorizer docker.Authorizer
}

// RoundTrip sends the request as it is, and once more with a login where the
// registry asks for one and the settings have it.
func (t *loginTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.host || req.Header.Get("Authorization") != "" || req.Body != nil && req.GetBody == nil {
		return t.base.RoundTrip(req)
	}
	first := req.Clone(req.Context())
	if err := t.authorizer.Authorize(req.Context(), first); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(first)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again := t.loggedIn(req, resp)
	if again == nil {
		return resp, nil
	}
	resp.Body.Close()
	return t.base.RoundTrip(again)
}

// loggedIn is the request with the login that its refusal asks for, or nil where
// there is none: the refusal speaks for itself.
func (t *loginTransport) loggedIn(req *http.Request, refusal *http.Response) *http.Request {
	again := req.Clone(req.Context())
	if t.authorizer.AddResponses(req.Context(), []*http.Response{refusal}) != nil ||
		t.authorizer.Authorize(req.Context(), again) != nil || again.Header.Get("Authorization") == "" {
		return nil
	}
	if req.Body != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil
		}
		again.Body = body
	}
	return again
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
		s, err := loadSettings(e.cfg.Root)
		if err != nil {
			return "", "", err
		}
		return s.credentials(host)
	}
}

// hosts gives the registries with their logins to the runner.
func (e *Engine) hosts(credentials func(host string) (string, string, error)) docker.RegistryHosts {
	base := registryHosts(e.cfg.Root, &e.callersOut)
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := base(host)
		for i := range list {
			list[i].Authorizer = docker.NewDockerAuthorizer(
				docker.WithAuthClient(list[i].Client), docker.WithAuthCreds(credentials))
		}
		return list, err
	}
}
