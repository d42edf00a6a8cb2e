package outbound

import (
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// Login logs in to one registry when it refuses a request that comes
// without a login.
type Login struct {
	Host       string
	Base       http.RoundTripper
	Authorizer docker.Authorizer
}

// RoundTrip sends the request as it is, and once more with a login where the
// registry asks for one and the settings have it.
func (t *Login) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.Host || req.Header.Get("Authorization") != "" || req.Body != nil && req.GetBody == nil {
		return t.Base.RoundTrip(req)
	}
	first := req.Clone(req.Context())
	if err := t.Authorizer.Authorize(req.Context(), first); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.Base.RoundTrip(first)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again := t.loggedIn(req, resp)
	if again == nil {
		return resp, nil
	}
	resp.Body.Close()
	return t.Base.RoundTrip(again)
}

// loggedIn is the request with the login that its refusal asks for, or nil where
// there is none: the refusal speaks for itself.
func (t *Login) loggedIn(req *http.Request, refusal *http.Response) *http.Request {
	again := req.Clone(req.Context())
	if t.Authorizer.AddResponses(req.Context(), []*http.Response{refusal}) != nil ||
		t.Authorizer.Authorize(req.Context(), again) != nil || again.Header.Get("Authorization") == "" {
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
