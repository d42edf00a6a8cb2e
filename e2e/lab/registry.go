package lab

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
	mu     sync.Mutex
	asked  map[string]int // first part of the name -> requests; guarded by mu
	direct bool           // we are the client; guarded by mu
}

// NewRegistry starts an empty registry on a free port.
func NewRegistry() (*Registry, error) {
	r := &Registry{asked: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: r.faults(store)}}
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
	dir, err := os.MkdirTemp("", "orlop-lab-layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := unpack(archive, dir); err != nil {
		return fmt.Errorf("cannot read %s: %w", archive, err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	image, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return err
	}
	r.setDirect(true)
	defer r.setDirect(false)
	for _, n := range names {
		own, err := withOwnLayer(image, n)
		if err != nil {
			return err
		}
		ref, err := name.NewTag(r.Address()+"/"+n, name.Insecure)
		if err != nil {
			return err
		}
		if err := remote.Write(ref, own); err != nil {
			return err
		}
	}
	return nil
}

// withOwnLayer adds a layer that holds the image's name, so that no image has
// the same bytes as another, and each is really transferred.
func withOwnLayer(image v1.Image, name string) (v1.Image, error) {
	layer, err := crane.Layer(map[string][]byte{"etc/image-name": []byte(name + "\n")})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

func (r *Registry) setDirect(direct bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.direct = direct
}

// unpack writes the files of an OCI archive.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := root.MkdirAll(filepath.Dir(h.Name), 0o755); err != nil {
			return err
		}
		out, err := root.Create(h.Name)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, t)
		if err := errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}

func (r *Registry) faults(store http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		direct := r.direct
		repository := strings.TrimPrefix(req.URL.Path, "/v2/")
		kind, _, _ := strings.Cut(repository, "/")
		if !direct {
			r.asked[kind]++
		}
		asked := r.asked[kind]
		r.mu.Unlock()
		switch {
		case direct:
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
