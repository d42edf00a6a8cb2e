package lab

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Credentials that repositories under private/ ask for.
const (
	RegistryUser   = "tester"
	RegistrySecret = "open sesame"
)

// Registry is an image registry on loopback. Repositories misbehave by the
// first part of their name: those under private/ ask for credentials, under
// flaky/ the first three requests are answered with 503, under corrupt/ blobs
// have other bytes than their digest says, under broken/ every answer is 503.
type Registry struct {
	server *httptest.Server
	store  *store
	mu     sync.Mutex
	asked  map[string]int // first part of the name -> requests; guarded by mu
}

// NewRegistry starts an empty registry on a free port.
func NewRegistry() (*Registry, error) {
	r := &Registry{store: newStore(), asked: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: r.faults(r.store)}}
	r.server.Start()
	return r, nil
}

// Address is the host and port.
func (r *Registry) Address() string { return r.server.Listener.Addr().String() }

// Close stops the registry.
func (r *Registry) Close() { r.server.Close() }

// Push puts the first image of an OCI archive under names such as
// "library/busybox:latest", each with a file /etc/image-name of its own.
func (r *Registry) Push(archive string, names ...string) error {
	files, err := readArchive(archive)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", archive, err)
	}
	for _, name := range names {
		image, blobs, err := withOwnLayer(files, name)
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", archive, err)
		}
		r.store.add(name, image, blobs)
	}
	return nil
}

func (r *Registry) faults(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		repository := strings.TrimPrefix(req.URL.Path, "/v2/")
		kind, _, _ := strings.Cut(repository, "/")
		r.asked[kind]++
		asked := r.asked[kind]
		r.mu.Unlock()
		switch {
		case kind == "private":
			if user, secret, ok := req.BasicAuth(); !ok || user != RegistryUser || secret != RegistrySecret {
				w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
		case kind == "broken", kind == "flaky" && asked <= 3:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		case kind == "corrupt" && strings.Contains(repository, "/blobs/"):
			w = &corrupted{ResponseWriter: w}
		}
		store.ServeHTTP(w, req)
	})
}

// corrupted changes the first byte of a body.
type corrupted struct {
	http.ResponseWriter
	done bool
}

func (c *corrupted) Write(p []byte) (int, error) {
	if c.done || len(p) == 0 {
		return c.ResponseWriter.Write(p)
	}
	c.done = true
	q := append([]byte{p[0] ^ 0xff}, p[1:]...)
	return c.ResponseWriter.Write(q)
}
