package builder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	authutil "github.com/containerd/containerd/v2/core/remotes/docker/auth"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/auth/authprovider"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/builder/origin"
	"github.com/orlop/orlop/spec/userfile"
)

// credentials reads Docker's config.json and its helpers when a registry
// first asks for them. plain says whom a login may be sent to without TLS.
func credentials(plain func(ctx context.Context, host string) bool) session.Attachable {
	provider := dockerConfig()
	whole := authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{AuthConfigProvider: provider})
	server, ok := whole.(auth.AuthServer)
	if !ok {
		return whole // of a BuildKit to come
	}
	return &logins{AuthServer: server, provider: provider, plain: plain, client: http.DefaultClient}
}

// dockerConfig gives the logins of Docker's config.json. One that can't be read
// is told to who asks for a login.
func dockerConfig() authprovider.AuthConfigProvider {
	path := filepath.Join(config.Dir(), config.ConfigFileName)
	if _, err := userfile.Read(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return func(context.Context, string, []string, authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
			return types.AuthConfig{}, fmt.Errorf("cannot read the credentials in %s: %w", path, errors.Unwrap(err))
		}
	}
	return authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(io.Discard))
}

// Login is the login at a registry that Docker's config.json and its helpers have; an
// identity token has no user.
func Login(ctx context.Context, host string) (user, secret string, err error) {
	ac, err := dockerConfig()(ctx, host, nil, nil)
	if err != nil || ac.IdentityToken != "" {
		return "", ac.IdentityToken, err
	}
	return ac.Username, ac.Password, nil
}

// logins is BuildKit's own provider of credentials, but that it fetches tokens
// with a client which keeps a login with whom it is for.
type logins struct {
	auth.AuthServer
	provider authprovider.AuthConfigProvider
	plain    func(ctx context.Context, host string) bool
	client   *http.Client
}

// Register serves the credentials in a session.
func (l *logins) Register(server *grpc.Server) { auth.RegisterAuthServer(server, l) }

// FetchToken asks the token server that a registry names for a token.
func (l *logins) FetchToken(ctx context.Context, req *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	ac, err := l.provider(ctx, req.Host, req.Scopes, nil)
	if err != nil {
		return nil, err
	}
	if ac.RegistryToken != "" {
		return tokenResponse(ac.RegistryToken, time.Time{}, 0), nil
	}
	to := authutil.TokenOptions{Realm: req.Realm, Service: req.Service, Scopes: req.Scopes, Username: ac.Username, Secret: ac.Password}
	if ac.IdentityToken != "" {
		to.Username, to.Secret = "", ac.IdentityToken
	}
	client := origin.Bind(l.client, req.Host, !strings.HasPrefix(strings.ToLower(req.Realm), "https:") && l.plain(ctx, req.Host))
	if to.Secret == "" {
		resp, err := authutil.FetchToken(ctx, client, nil, to)
		if err != nil {
			return nil, fmt.Errorf("cannot get a token without a login: %w", err)
		}
		return tokenResponse(resp.Token, resp.IssuedAt, resp.ExpiresInSeconds), nil
	}
	resp, err := authutil.FetchTokenWithOAuth(ctx, client, nil, "buildkit-client", to)
	if err == nil {
		return tokenResponse(resp.AccessToken, resp.IssuedAt, resp.ExpiresInSeconds), nil
	}
	if !wantsGet(err, to.Username) {
		return nil, fmt.Errorf("cannot get a token: %w", err)
	}
	old, err := authutil.FetchToken(ctx, client, nil, to)
	if err != nil {
		return nil, fmt.Errorf("cannot get a token: %w", err)
	}
	return tokenResponse(old.Token, old.IssuedAt, old.ExpiresInSeconds), nil
}

// wantsGet says that a token server knows the older way alone: some answer the
// newer one with 404 or 401 in place of 405.
func wantsGet(err error, user string) bool {
	status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	return ok && (status.StatusCode == http.StatusMethodNotAllowed && user != "" ||
		status.StatusCode == http.StatusNotFound || status.StatusCode == http.StatusUnauthorized)
}

// tokenLife is how many seconds a token is good for that doesn't say so
// (Distribution, token authentication).
const tokenLife = 60

func tokenResponse(token string, issued time.Time, seconds int) *auth.FetchTokenResponse {
	resp := &auth.FetchTokenResponse{Token: token, ExpiresIn: int64(cmp.Or(seconds, tokenLife))}
	if !issued.IsZero() {
		resp.IssuedAt = issued.Unix()
	}
	return resp
}
