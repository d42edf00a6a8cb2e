package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	authutil "github.com/containerd/containerd/v2/core/remotes/docker/auth"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/push"
)

// CheckLogin implements api.RegistryServer: the login that the registry asks for at /v2/ (Distribution
// Specification, "Determining Support").
func (s *Server) CheckLogin(ctx context.Context, r *api.LoginRequest) (*api.LoginReply, error) {
	hosts, err := s.Images.Hosts(func(string) (string, string, error) { return "", "", nil })(r.Host)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(hosts, func(h docker.RegistryHost) bool { return h.Capabilities.Has(docker.HostCapabilityPush) })
	if i < 0 {
		return nil, fmt.Errorf("cannot log in at %s: the settings of the engine name mirrors of it alone", r.Host)
	}
	l := &login{named: r.Host, host: hosts[i], user: r.Username, secret: r.Password}
	token, err := l.check(ctx)
	if err != nil {
		return nil, l.inWords(err)
	}
	return &api.LoginReply{IdentityToken: token}, nil
}

// login is one that a registry is asked to take.
type login struct {
	named        string
	host         docker.RegistryHost
	user, secret string
}

// errRefused is the error of a login that the registry does not take.
var errRefused = errors.New("it does not take this login: the user name or the password is wrong, or a token has expired")

func (l *login) inWords(err error) error {
	if why := push.Unreachable(l.host.Host, err); why != "" {
		return fmt.Errorf("cannot log in at %s: %s", l.named, why)
	}
	return fmt.Errorf("cannot log in at %s: %w", l.named, err)
}

// check is an error if the registry refuses the login. The identity token is "" where it gives none.
func (l *login) check(ctx context.Context) (identity string, err error) {
	header, status, err := l.ask(ctx, "")
	if err != nil {
		return "", err
	}
	if status == http.StatusOK {
		return "", nil // it wants none
	}
	if status != http.StatusUnauthorized {
		return "", fmt.Errorf("it answers /v2/ with %d %s: is it a registry?", status, http.StatusText(status))
	}
	for _, c := range authutil.ParseAuthHeader(header) {
		var authorization string
		switch c.Scheme {
		case authutil.BasicAuth:
			req := http.Request{Header: http.Header{}}
			req.SetBasicAuth(l.user, l.secret)
			authorization = req.Header.Get("Authorization")
		case authutil.BearerAuth:
			var token string
			if token, identity, err = l.token(ctx, c); err != nil {
				return "", err
			}
			authorization = "Bearer " + token
		default:
			continue
		}
		_, status, err := l.ask(ctx, authorization)
		switch {
		case err != nil:
			return "", err
		case status == http.StatusOK:
			return identity, nil
		case status == http.StatusUnauthorized, status == http.StatusForbidden:
			return "", errRefused
		}
		return "", fmt.Errorf("it answers the login with %d %s: try again later", status, http.StatusText(status))
	}
	return "", errors.New("it asks for a login in a way that is neither basic nor bearer")
}

// ask asks for /v2/.
func (l *login) ask(ctx context.Context, authorization string) (http.Header, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.host.Scheme+"://"+l.host.Host+l.host.Path+"/", nil)
	if err != nil {
		return nil, 0, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := l.host.Client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.Header, resp.StatusCode, nil
}

// token asks the token server that the registry names, and for an identity token.
func (l *login) token(ctx context.Context, c authutil.Challenge) (token, identity string, err error) {
	opts, err := authutil.GenerateTokenOptions(ctx, l.host.Host, l.user, l.secret, c)
	if err != nil {
		return "", "", fmt.Errorf("it names no token server that can be asked: %w", err)
	}
	opts.FetchRefreshToken = true
	if l.user != "" { // with a name and a password, as docker login does
		got, err := authutil.FetchToken(ctx, l.host.Client, nil, opts)
		if err == nil {
			return got.Token, got.RefreshToken, nil
		}
		if status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); status.StatusCode != http.StatusNotFound && status.StatusCode != http.StatusMethodNotAllowed {
			return "", "", refusedBy(err)
		}
	}
	got, err := authutil.FetchTokenWithOAuth(ctx, l.host.Client, nil, "orlop", opts)
	if err != nil {
		return "", "", refusedBy(err)
	}
	return got.AccessToken, got.RefreshToken, nil
}

// refusedBy is the error of a token server: of one that refuses the login, in our words.
func refusedBy(err error) error {
	status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	if !ok {
		return err
	}
	switch status.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest:
		return errRefused
	}
	return fmt.Errorf("its token server answers %s: try again later", status.Status)
}
