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

// sent are the documents that came since it was asked last.
func (n *noting) sent() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	put := n.put
	n.put = nil
	return put
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
	if sent := n.sent(); err != nil || !slices.Equal(sent, []string{"1"}) {
		t.Fatalf("sent are %v: %v", sent, err)
	}
	got, err := s.publish(t.Context(), host+"/shop/all:1", artifact(host+"/shop/part:1"), hosts)
	sent := n.sent()
	if err != nil || len(sent) < 3 || sent[0] != first.Digest || sent[len(sent)-1] != "1" || slices.Index(sent, "1") != len(sent)-1 || got.Digest != first.Digest {
		t.Errorf("sent are %v: %v", sent, err)
	}
	_, err = s.publish(t.Context(), host+"/shop/some:1", artifact(host+"/shop/part:1", host+"/shop/absent:1"), hosts)
	server.Close() // what is under way by then has come
	if sent := n.sent(); err == nil || slices.Contains(sent, "1") {
		t.Errorf("sent are %v, though an image is not there: %v", sent, err)
	}
}

var manifest = []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",` +
	`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}`)
