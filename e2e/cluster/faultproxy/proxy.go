// Package faultproxy stands before an API server: it counts what is asked of it, and refuses, delays or cuts off what it is told to.
package faultproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Kind is what is done to a request.
type Kind string

const (
	Drop Kind = "drop" // the connection is closed in place of an answer
	Hold Kind = "hold" // the request waits until Release
	Lose Kind = "lose" // the request is carried out, its answer is not sent
)

// Proxy is one that listens.
type Proxy struct {
	server *http.Server
	url    string

	mu       sync.Mutex
	counts   map[string]int
	faults   []*fault
	watches  map[int]context.CancelFunc
	next     int
	held     chan struct{} // has an element for each request that is held
	begun    chan struct{} // has an element if a watch has begun
	released chan struct{} // closed by Release
}

type fault struct {
	kind    Kind
	left    int
	pattern *regexp.Regexp
}

// Start listens on loopback, with the certificate of the API server at a URL.
func Start(server, certificate, key string) (*Proxy, error) {
	target, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		url: "https://" + l.Addr().String(), counts: map[string]int{}, watches: map[int]context.CancelFunc{},
		held: make(chan struct{}, 1000), begun: make(chan struct{}, 1), released: make(chan struct{}),
	}
	reverse := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		// What is upgraded (exec, attach) must be HTTP/1.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 50},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			panic(http.ErrAbortHandler) // as it is without a proxy
		},
	}
	p.server = &http.Server{Handler: p.handler(reverse)}
	go func() { _ = p.server.ServeTLS(l, certificate, key) }() // ends with Close
	return p, nil
}

// URL is where clients go.
func (p *Proxy) URL() string { return p.url }

// Close ends it and what goes on.
func (p *Proxy) Close() { p.server.Close() }

// Inject makes the next requests fail that match: by a status, or a Kind. What is matched is "VERB RESOURCE", as in Counts.
func (p *Proxy) Inject(kind Kind, times int, pattern string) error {
	if _, err := strconv.Atoi(string(kind)); err != nil && kind != Drop && kind != Hold && kind != Lose {
		return fmt.Errorf("no fault is called %q", kind)
	}
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault{kind, times, match})
	return nil
}

// Clear forgets the faults that have not happened, and says how many.
func (p *Proxy) Clear() (left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		left += f.left
	}
	p.faults = nil
	return left
}

// Held returns when a request is held.
func (p *Proxy) Held(ctx context.Context) error {
	select {
	case <-p.held:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no request was held: %w", context.Cause(ctx))
	}
}

// Release lets all go on that are held.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.released)
	p.released = make(chan struct{})
}

// CutWatches ends all watches, and logs that are followed, in the middle, once there is one.
func (p *Proxy) CutWatches(ctx context.Context) error {
	for {
		p.mu.Lock()
		cut := len(p.watches)
		for _, end := range p.watches {
			end()
		}
		p.mu.Unlock()
		if cut > 0 {
			return nil
		}
		select {
		case <-p.begun:
		case <-ctx.Done():
			return fmt.Errorf("there is no watch: %w", context.Cause(ctx))
		}
	}
}

// Counts are lines "VERB RESOURCE COUNT", sorted. The verb of what is only tried is "dry-" and what it would be.
func (p *Proxy) Counts() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := &strings.Builder{}
	for _, what := range slices.Sorted(maps.Keys(p.counts)) {
		fmt.Fprintf(b, "%s %d\n", what, p.counts[what])
	}
	return b.String()
}

// Reset begins to count anew.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.counts)
}

func (p *Proxy) handler(to http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := name(r)
		kind, released := p.note(what)
		switch kind {
		case "":
		case Drop:
			panic(http.ErrAbortHandler)
		case Lose:
			to.ServeHTTP(&lost{header: http.Header{}}, r)
			panic(http.ErrAbortHandler)
		case Hold:
			p.held <- struct{}{}
			select {
			case <-released:
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			}
		default:
			refuse(w, string(kind))
			return
		}
		if strings.HasPrefix(what, "watch ") || strings.HasPrefix(what, "follow ") {
			ctx, end := context.WithCancel(r.Context())
			defer p.watching(end)()
			r = r.WithContext(ctx)
		}
		to.ServeHTTP(w, r)
	})
}

// note counts a request and says what is to be done to it.
func (p *Proxy) note(what string) (Kind, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[what]++
	for _, f := range p.faults {
		if f.left > 0 && f.pattern.MatchString(what) {
			f.left--
			return f.kind, p.released
		}
	}
	return "", nil
}

// watching notes a watch; what it returns forgets it.
func (p *Proxy) watching(end context.CancelFunc) func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.next
	p.next++
	p.watches[n] = end
	select {
	case p.begun <- struct{}{}:
	default:
	}
	return func() {
		end()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.watches, n)
	}
}

// refuse answers with a status, as an API server does.
func refuse(w http.ResponseWriter, status string) {
	code, _ := strconv.Atoi(status)
	reason := map[int]string{429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 409: "Conflict", 403: "Forbidden"}[code]
	w.Header().Set("Content-Type", "application/json")
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"a fault was injected","reason":%q,"code":%d}`+"\n", reason, code)
}

// lost is an answer that nobody gets.
type lost struct{ header http.Header }

func (l *lost) Header() http.Header         { return l.header }
func (l *lost) Write(b []byte) (int, error) { return len(b), nil }
func (l *lost) WriteHeader(int)             {}

// name is what is asked for: "apply deployments", "dry-apply deployments", "follow pods/log".
func name(r *http.Request) string {
	words := strings.Split(strings.Trim(path.Clean(r.URL.Path), "/"), "/")
	switch {
	case words[0] == "api" && len(words) > 2:
		words = words[2:]
	case words[0] == "apis" && len(words) > 3:
		words = words[3:]
	default:
		return "discover " + r.URL.Path
	}
	if words[0] == "namespaces" && len(words) > 2 {
		words = words[2:]
	}
	resource, isNamed := words[0], len(words) > 1
	if len(words) > 2 {
		resource += "/" + words[2]
	}
	query := r.URL.Query()
	verb := verbOf(r.Method)
	switch {
	case query.Get("watch") == "true" || query.Get("watch") == "1":
		verb = "watch"
	case query.Get("follow") == "true":
		verb = "follow"
	case verb == "get" && !isNamed:
		verb = "list"
	case verb == "delete" && !isNamed:
		verb = "deletecollection"
	case verb == "patch" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch"):
		verb = "apply"
	}
	if query.Get("dryRun") != "" {
		verb = "dry-" + verb
	}
	return verb + " " + resource
}

func verbOf(method string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		return "delete"
	}
	return "get"
}
