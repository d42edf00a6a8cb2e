// Package origin keeps credentials with whom they are for: an HTTP transport
// that takes them off a request which a registry redirects to somebody else,
// and that sends none without TLS where the registry itself has it. It knows
// no registry's protocol.
package origin

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Transport sends the requests that one registry causes: to the registry, to
// who it redirects to, and to the token server that it names.
type Transport struct {
	Base  http.RoundTripper
	Host  string // of the registry, with its port if it has one
	Plain bool   // the registry itself is reached without TLS
}

// Bind gives a client whose requests are sent by a Transport on its own one.
func Bind(c *http.Client, host string, plain bool) *http.Client {
	bound := http.Client{}
	if c != nil {
		bound = *c
	}
	base := bound.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	bound.Transport = &Transport{Base: base, Host: host, Plain: plain}
	return &bound
}

// RoundTrip sends a request. Go's client takes credentials along to another
// port of the same host and from https to http; here they go to the scheme,
// host and port alone that they were written for (the class of CVE-2020-15157).
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	first := firstOf(req)
	if first != req && !isSame(first.URL, req.URL) {
		if isForm(req) {
			return nil, refuse(req, "%s redirects a login to %s: the password stays here", first.URL.Host, req.URL.Host)
		}
		if a := req.Header.Get("Authorization"); a != "" && a == first.Header.Get("Authorization") {
			req = req.Clone(req.Context())
			req.Header.Del("Authorization")
		}
	}
	if req.URL.Scheme == "http" && !t.Plain && !isLoopback(req.URL) && (isForm(req) || req.Header.Get("Authorization") != "") {
		return nil, refuse(req, "registry %s wants a login sent to %s without TLS: the password stays here", t.Host, req.URL.Host)
	}
	return t.Base.RoundTrip(req)
}

func refuse(req *http.Request, format string, args ...any) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return fmt.Errorf(format, args...)
}

// firstOf is the request that the redirects to this one began with.
func firstOf(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

// isForm says that a request's body is a form: a login at a token server.
func isForm(req *http.Request) bool {
	return req.Body != nil && strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

func isSame(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// isLoopback says that a request doesn't leave this machine.
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
