package push

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// guarded is a registry that wants tokens for what they are used for, and lets nobody pull from secret/.
type guarded struct {
	http.Handler
	mu     sync.Mutex
	scopes []string // guarded by mu: of the tokens that were given
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		user, scope := r.FormValue("username"), r.FormValue("scope") // by OAuth, which containerd asks by first
		g.mu.Lock()
		g.scopes = append(g.scopes, scope)
		g.mu.Unlock()
		fmt.Fprintf(w, `{"access_token":%q}`, user+" "+scope)
		return
	}
	repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/blobs/")
	repository, _, _ = strings.Cut(repository, "/manifests/")
	wants := "repository:" + repository + ":pull"
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		wants += ",push"
	}
	has := r.Header.Get("Authorization")
	from := r.URL.Query().Get("from")
	isAllowed := strings.Contains(has, "ann ") && strings.Contains(has, "repository:"+repository+":pull,push") || strings.HasSuffix(wants, ":pull") && strings.Contains(has, wants)
	if from != "" {
		isAllowed = isAllowed && strings.Contains(has, "repository:"+from+":pull") && !strings.HasPrefix(from, "secret/")
	}
	if !isAllowed {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="s",scope="%s"`, r.Host, wants))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		return
	}
	r.Header.Del("Authorization")
	g.Handler.ServeHTTP(w, r)
}

// TestTokens are asked for with the right to push, and to pull from where a blob is taken. Where that is refused, the
// blob is sent.
func TestTokens(t *testing.T) {
	r, s := newRegistry(t), newStore(t)
	g := &guarded{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.Address()})}
	server := httptest.NewServer(g)
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	root := image(t, s, put(t, s, ocispec.MediaTypeImageLayer, random(large)))
	push := func(name string, hosts docker.RegistryHosts) (Sent, error) {
		return Send(t.Context(), Job{Ref: host + "/" + name, Root: root, From: s, Hosts: hosts})
	}
	if sent, err := push("secret/app:1", hosts("ann", "x")); err != nil || sent.Blobs != 2 {
		t.Fatalf("%+v, %v", sent, err)
	}
	if sent, err := push("open/app:1", hosts("ann", "x")); err != nil || sent.Blobs != 2 || sent.Mounted != 0 {
		t.Errorf("what may not be pulled there: %+v, %v", sent, err)
	}
	if sent, err := push("open/base:1", hosts("ann", "x")); err != nil || sent.Mounted != 2 {
		t.Errorf("what may be: %+v, %v", sent, err)
	}
	if all := strings.Join(g.scopes, "\n"); !strings.Contains(all, "repository:open/app:pull,push") || !strings.Contains(all, "repository:open/app:pull repository:open/base:pull repository:open/base:pull,push") {
		t.Errorf("tokens are asked for\n%s", all)
	}
	if _, err := push("open/other:1", hosts("bob", "x")); err == nil || !strings.Contains(err.Error(), `wants a login: run "orlop login `+host) {
		t.Errorf("%v", err)
	}
}
