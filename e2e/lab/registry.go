package lab

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
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
// have other bytes than their digest says, under broken/ every answer is 503,
// under cut/ the first answer for each blob ends in its middle, under stuck/
// every answer does, under large/ a manifest has 5 MB, under moved/ everything is
// asked for at another port (Elsewhere), under limited/ every answer is 429, under
// swapped/ whatever digest a manifest is asked for by, that of swapped/other:1 comes, under
// halting/ a small layer ends in its middle, once a large one is sent, until the tag
// is asked for again. Of what is pushed, cutput/ takes half of each blob and hangs up, once,
// forgetful/ forgets that half too, busy/ wants the first request for each thing again after a
// second, denied/ takes nothing, and uncreated/ is none of its repositories.
type Registry struct {
	server *httptest.Server
	store  *store
	other  *httptest.Server
	large  chan struct{} // closed once a large blob of halting/ was sent
	once   sync.Once
	mu     sync.Mutex
	bytes  map[string]int // path of a blob -> bytes that were sent of it; guarded by mu
	asked  map[string]int // first part of the name -> requests, and path -> those of it; guarded by mu
	puts   map[string]int // first part of the name -> bytes that were sent to it; guarded by mu
	did    map[string]int // "METHOD kind" -> requests; guarded by mu
	sent   []string       // Authorization headers that the other port was sent; guarded by mu
}

// NewRegistry starts an empty registry on a free port.
func NewRegistry() (*Registry, error) {
	r := &Registry{store: newStore(), asked: map[string]int{}, bytes: map[string]int{}, puts: map[string]int{}, did: map[string]int{}, large: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: r.faults(r.store)}}
	r.server.Start()
	r.other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.sent = append(r.sent, req.Header.Get("Authorization"))
		r.mu.Unlock()
		r.store.ServeHTTP(w, req)
	}))
	return r, nil
}

// Address is the host and port.
func (r *Registry) Address() string { return r.server.Listener.Addr().String() }

// Close stops the registry.
func (r *Registry) Close() { r.server.Close(); r.other.Close() }

// Asked is how many requests there were for repositories of a kind.
func (r *Registry) Asked(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[kind]
}

// SentElsewhere are the credentials that the other port was sent, "" among them
// for each request without any.
func (r *Registry) SentElsewhere() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// Push puts the first image of an OCI archive under names such as
// "library/busybox:latest", each with a file /etc/image-name of its own.
func (r *Registry) Push(archive string, names ...string) error {
	for _, name := range names {
		if err := r.Renew(archive, name, name); err != nil {
			return err
		}
	}
	return nil
}

// Renew puts an image as Push does under a name that may be there already. What
// /etc/image-name says makes it another one.
func (r *Registry) Renew(archive, name, says string) error {
	files, err := readArchive(archive)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", archive, err)
	}
	image, blobs, err := withOwnLayer(files, says)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", archive, err)
	}
	r.store.add(name, image, blobs)
	return nil
}

func (r *Registry) faults(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		repository := strings.TrimPrefix(req.URL.Path, "/v2/")
		kind, _, _ := strings.Cut(repository, "/")
		r.asked[kind]++
		r.did[req.Method+" "+kind]++
		asked := r.asked[kind]
		r.asked[req.URL.Path]++
		again := r.asked[req.URL.Path] > 1
		r.mu.Unlock()
		if r.refusesUpload(w, req, kind, again) {
			return
		}
		req.Body = &counted{req.Body, r, kind}
		switch {
		case kind == "private", kind == "moved":
			if user, secret, ok := req.BasicAuth(); !ok || user != RegistryUser || secret != RegistrySecret {
				w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
			if kind == "moved" && strings.Contains(repository, "/blobs/") {
				http.Redirect(w, req, r.other.URL+req.URL.Path, http.StatusTemporaryRedirect)
				return
			}
		case kind == "limited":
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		case kind == "large" && strings.Contains(repository, "/manifests/"):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Content-Length", strconv.Itoa(largeManifest))
			if req.Method == http.MethodGet {
				_, _ = w.Write(bytes.Repeat([]byte(" "), largeManifest))
			}
			return
		case (kind == "stuck" || kind == "cut" && !again) && strings.Contains(repository, "/blobs/"):
			w = &cutOff{ResponseWriter: w, from: rangeStart(req)}
		case kind == "halting" && strings.Contains(repository, "/blobs/"):
			w = &tally{w, r, req.URL.Path}
			switch size, isLayer := r.store.look(req.URL.Path); {
			case !isLayer:
			case size >= smallBlob:
				defer r.once.Do(func() { close(r.large) })
			case r.Asked("/v2/"+repository[:strings.Index(repository, "/blobs/")]+"/manifests/1") == 1:
				select {
				case <-r.large:
				case <-req.Context().Done():
					return
				}
				w = &cutOff{ResponseWriter: w, from: rangeStart(req)}
			}
		case kind == "swapped" && strings.Contains(repository, "/manifests/sha256:"):
			w = &disguised{w, path.Base(repository)}
			req = req.Clone(req.Context())
			req.URL.Path = "/v2/swapped/other/manifests/1"
		case kind == "broken", kind == "flaky" && asked <= 3:
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		case kind == "cutput" || kind == "forgetful":
			r.cutUpload(store, w, req, kind, again)
			return
		case kind == "corrupt" && strings.Contains(repository, "/blobs/"):
			w = &corrupted{ResponseWriter: w}
		}
		store.ServeHTTP(w, req)
	})
}

const (
	largeManifest = 5 << 20
	smallBlob     = 64 << 10
)

// tally counts the bytes of a blob that are sent.
type tally struct {
	http.ResponseWriter
	registry *Registry
	path     string
}

func (t *tally) Write(p []byte) (int, error) {
	n, err := t.ResponseWriter.Write(p)
	t.registry.mu.Lock()
	t.registry.bytes[t.path] += n
	t.registry.mu.Unlock()
	return n, err
}

func (t *tally) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// SentAgain is how many bytes of the blobs of a kind of repositories were sent more often
// than once.
func (r *Registry) SentAgain(kind string) (bytes int) {
	r.mu.Lock()
	sent := maps.Clone(r.bytes)
	r.mu.Unlock()
	for path, n := range sent {
		if size, _ := r.store.look(path); strings.HasPrefix(path, "/v2/"+kind+"/") {
			bytes += max(0, n-size)
		}
	}
	return bytes
}

// rangeStart is the offset that a request asks for.
func rangeStart(req *http.Request) int {
	first, _, _ := strings.Cut(strings.TrimPrefix(req.Header.Get("Range"), "bytes="), "-")
	n, _ := strconv.Atoi(first) // none: from the beginning
	return n
}

// cutOff breaks a connection off after 100 bytes of a body.
type cutOff struct {
	http.ResponseWriter
	from int // offset of the body in the blob
}

const cutAt = 100

func (c *cutOff) Write(p []byte) (int, error) {
	if left := cutAt - c.from; left < len(p) {
		_, _ = c.ResponseWriter.Write(p[:max(0, left)])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.from += len(p)
	return c.ResponseWriter.Write(p)
}

func (c *cutOff) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// disguised says that what it sends has another digest.
type disguised struct {
	http.ResponseWriter
	digest string
}

func (d *disguised) WriteHeader(status int) {
	d.Header().Set("Docker-Content-Digest", d.digest)
	d.ResponseWriter.WriteHeader(status)
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
