// Package outbound sends the engine's requests to registries and other servers by
// the proxies of the command that they are made for: the engine outlives many
// commands, and each may be in another network. It knows no registry's protocol.
package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"golang.org/x/net/http/httpproxy"

	"github.com/orlop/orlop/api"
)

// Callers are the commands whose builds go on. BuildKit asks registries on behalf
// of no call in particular; then the command that began last counts. The zero value
// is ready.
type Callers struct {
	mu      sync.Mutex
	running []*api.Proxies    // guarded by mu: in the order in which they began
	before  map[string]string // guarded by mu: the environment's, while some run
}

// Enter notes the proxies of a build, which may be nil, until leave is called.
func (c *Callers) Enter(p *api.Proxies) (leave func()) {
	if p == nil {
		return func() {}
	}
	own := *p // leave finds this one, and no other that says the same
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running) == 0 {
		c.before = environ()
		_, _ = http.ProxyFromEnvironment(&http.Request{URL: &url.URL{}}) // Go remembers what it finds first
	}
	c.running = append(c.running, &own)
	c.tell()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = slices.DeleteFunc(c.running, func(other *api.Proxies) bool { return other == &own })
		c.tell()
	}
}

// tell puts the proxies into the environment of this process, where the git that
// BuildKit runs finds them: it has no other way to be told. The caller holds mu.
func (c *Callers) tell() {
	env := c.before
	if n := len(c.running); n > 0 {
		env = c.running[n-1].Environ()
	}
	for _, name := range Variables() {
		if value, ok := env[name]; ok {
			os.Setenv(name, value)
		} else {
			os.Unsetenv(name)
		}
	}
}

// Variables are the names of the environment that have proxies.
func Variables() []string {
	return []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}
}

// environ is what the environment of this process has of proxies.
func environ() map[string]string {
	env := map[string]string{}
	for _, name := range Variables() {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	return env
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
	// Fallback is a host that is asked without TLS where it has none.
	Fallback string
	// Patience is how long an answer to a question may take to begin; 0: a minute. What is sent may take longer.
	Patience time.Duration

	mu     sync.Mutex
	routes map[api.Proxies]http.RoundTripper // guarded by mu
}

// RoundTrip sends a request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.Base
	if p := t.Callers.of(req.Context()); p != nil && !isLoopback(req.URL) {
		next = t.route(*p)
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return next.RoundTrip(req)
	}
	return answered(next, req, cmp.Or(t.Patience, time.Minute))
}

// answered gives a question up whose answer does not begin in time: a server that takes connections and is silent would be
// waited for for ever.
func answered(next http.RoundTripper, req *http.Request, patience time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	var isLate atomic.Bool
	timer := time.AfterFunc(patience, func() {
		isLate.Store(true)
		cancel()
	})
	resp, err := next.RoundTrip(req.WithContext(ctx))
	timer.Stop()
	if err != nil {
		cancel()
		if isLate.Load() && req.Context().Err() == nil {
			err = fmt.Errorf("%s takes connections, and has not answered for %v", req.URL.Host, patience)
		}
		return nil, err
	}
	resp.Body = &body{resp.Body, cancel}
	return resp, nil
}

// body is that of an answer, which ends its request.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// route is the way by some proxies; its connections are used again.
func (t *Transport) route(p api.Proxies) http.RoundTripper {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.routes[p]; r != nil {
		return r
	}
	proxy := (&httpproxy.Config{HTTPProxy: p.HTTP, HTTPSProxy: p.HTTPS, NoProxy: p.No}).ProxyFunc()
	var r http.RoundTripper = &http.Transport{
		Proxy:               func(req *http.Request) (*url.URL, error) { return proxy(req.URL) },
		DialContext:         (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: time.Minute}).DialContext,
		TLSClientConfig:     t.TLS.Clone(),
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 2 * time.Minute, MaxIdleConnsPerHost: 4, ExpectContinueTimeout: 5 * time.Second,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, // as BuildKit has it: HTTP/1 alone
	}
	if t.Fallback != "" {
		r = &fallback{host: t.Fallback, tls: r, either: docker.NewHTTPFallback(r)}
	}
	if t.routes == nil {
		t.routes = map[api.Proxies]http.RoundTripper{}
	}
	t.routes[p] = r
	return r
}

// fallback asks one host, and no other that it redirects to, without TLS where that
// has none.
type fallback struct {
	host        string
	tls, either http.RoundTripper
}

// RoundTrip sends a request.
func (f *fallback) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host == f.host {
		return f.either.RoundTrip(req)
	}
	return f.tls.RoundTrip(req)
}

// isLoopback says that a request doesn't leave this machine.
func isLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
