// Package outbound sends the engine's requests to registries by the proxies of the
// command that they are made for: the engine outlives many commands, and each
// may be in another network. It knows no registry's protocol.
package outbound

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/orlop/orlop/api"
)

// Callers are the commands whose builds go on. BuildKit asks registries on behalf
// of no call in particular; then the command that began last counts. The zero value
// is ready.
type Callers struct {
	mu      sync.Mutex
	running []*api.Proxies // guarded by mu: in the order in which they began
}

// Enter notes the proxies of a build, which may be nil, until leave is called.
func (c *Callers) Enter(p *api.Proxies) (leave func()) {
	if p == nil {
		return func() {}
	}
	own := *p // leave finds this one, and no other that says the same
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = append(c.running, &own)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = slices.DeleteFunc(c.running, func(other *api.Proxies) bool { return other == &own })
	}
}

// of are the proxies of a request: nil where nobody said.
func (c *Callers) of(ctx context.Context) *api.Proxies {
	if p := api.CallersProxies(ctx); p != nil {
		return p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running) == 0 {
		return nil
	}
	return c.running[len(c.running)-1]
}

// Transport sends requests by the proxies of who makes them.
type Transport struct {
	Base    http.RoundTripper // of requests of nobody, and of those to this machine
	TLS     *tls.Config       // of the registry
	Callers *Callers

	mu     sync.Mutex
	routes map[api.Proxies]*http.Transport // guarded by mu
}

// RoundTrip sends a request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p := t.Callers.of(req.Context())
	if p == nil || isLoopback(req.URL) {
		return t.Base.RoundTrip(req)
	}
	return t.route(*p).RoundTrip(req)
}

// route is the way by some proxies; its connections are used again.
func (t *Transport) route(p api.Proxies) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.routes[p]; r != nil {
		return r
	}
	proxy := (&httpproxy.Config{HTTPProxy: p.HTTP, HTTPSProxy: p.HTTPS, NoProxy: p.No}).ProxyFunc()
	r := &http.Transport{
		Proxy:               func(req *http.Request) (*url.URL, error) { return proxy(req.URL) },
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: time.Minute}).DialContext,
		TLSClientConfig:     t.TLS.Clone(),
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 2 * time.Minute, MaxIdleConnsPerHost: 4, ExpectContinueTimeout: 5 * time.Second,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, // as BuildKit has it: HTTP/1 alone
	}
	if t.routes == nil {
		t.routes = map[api.Proxies]*http.Transport{}
	}
	t.routes[p] = r
	return r
}

// isLoopback says that a request doesn't leave this machine.
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
