package builder

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/auth/authprovider"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestATokenServerWithoutTLS gets the login of a build only where the engine's settings
// allow its registry to be reached so.
//
// Risk registry auth leak: a registry names a token server without TLS to a build that has a login
// Held: the login is sent only if engine.yaml has `http: true` for the registry; the answer is asked of the engine each time
func TestATokenServerWithoutTLS(t *testing.T) {
	for name, c := range map[string]struct {
		realm, host string
		sent        bool
	}{
		"allowed":            {"http://auth.test/token", "plain.test", true},
		"of another":         {"http://auth.test/token", "other.test", false},
		"with TLS":           {"https://auth.test/token", "other.test", true},
		"on this machine":    {"http://127.0.0.1:5/token", "other.test", true},
		"with TLS, plain":    {"https://auth.test/token", "plain.test", true},
		"allowed, uppercase": {"HTTP://auth.test/token", "plain.test", true},
	} {
		t.Run(name, func(t *testing.T) {
			sent := false
			l := &logins{
				provider: func(context.Context, string, []string, authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
					return types.AuthConfig{Username: "ann", Password: "canary"}, nil
				},
				plain: func(_ context.Context, host string) bool { return host == "plain.test" },
				client: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
					body, _ := io.ReadAll(req.Body)
					sent = strings.Contains(string(body), "canary")
					return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"access_token":"t"}`))}, nil
				})},
			}
			resp, err := l.FetchToken(t.Context(), &auth.FetchTokenRequest{Host: c.host, Realm: c.realm, Service: "registry"})
			if sent != c.sent || (err == nil) != c.sent || err == nil && resp.Token != "t" || err != nil && !strings.Contains(err.Error(), "without TLS") {
				t.Errorf("sent: %t, %v", sent, err)
			}
		})
	}
}
