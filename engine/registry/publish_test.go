package registry

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/e2e/lab"
)

// noting is a registry that notes which documents it is sent, in their order.
type noting struct {
	http.Handler
	mu  sync.Mutex
	put []string // guarded by mu
}

func (n *noting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, name, isDocument := strings.Cut(r.URL.Path, "/manifests/"); isDocument && r.Method == http.MethodPut {
		n.mu.Lock()
		n.put = append(n.put, name)
		n.mu.Unlock()
	}
	n.Handler.ServeHTTP(w, r)
}

// TestAStackIsTaggedLast: who finds the tag finds the images that go with it.
func TestAStackIsTaggedLast(t *testing.T) {
	r, err := lab.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := &noting{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.Address()})}
	server := httptest.NewServer(n)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	hosts := docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchAllHosts))
	artifact := func(images ...string) *api.PublishRequest {
		return &api.PublishRequest{
			Blobs:     []*api.Document{{MediaType: ocispec.MediaTypeEmptyJSON, Content: []byte("{}")}},
			Manifests: []*api.Document{{MediaType: ocispec.MediaTypeImageManifest, Content: manifest}}, Images: images,
		}
	}
	s := &Server{}
	first, err := s.publish(t.Context(), host+"/shop/part:1", artifact(), hosts)
	if err != nil || !slices.Equal(n.put, []string{"1"}) {
		t.Fatalf("sent are %v: %v", n.put, err)
	}
	n.put = nil
	got, err := s.publish(t.Context(), host+"/shop/all:1", artifact(host+"/shop/part:1"), hosts)
	if err != nil || len(n.put) < 3 || n.put[0] != first.Digest || n.put[len(n.put)-1] != "1" || slices.Index(n.put, "1") != len(n.put)-1 || got.Digest != first.Digest {
		t.Errorf("sent are %v: %v", n.put, err)
	}
	n.put = nil
	if _, err := s.publish(t.Context(), host+"/shop/some:1", artifact(host+"/shop/part:1", host+"/shop/absent:1"), hosts); err == nil || slices.Contains(n.put, "1") {
		t.Errorf("sent are %v, though an image is not there: %v", n.put, err)
	}
}

var manifest = []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
	`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`)
