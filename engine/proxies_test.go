package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/outbound"
)

// TestRequestsGoByTheProxiesOfTheirCaller: not by those of who started the engine,
// and not by those of another command.
func TestRequestsGoByTheProxiesOfTheirCaller(t *testing.T) {
	proxy := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, name+" "+r.URL.Host)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	first, second := proxy("first"), proxy("second")
	root := settingsFile(t, "registries: {registry.test: {http: true}}\n")
	var callers outbound.Callers
	hosts, err := registryHosts(root, &callers)("registry.test")
	if err != nil {
		t.Fatal(err)
	}
	get := func(ctx context.Context) string {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://registry.test/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hosts[0].Client.Do(req)
		if err != nil {
			return "no way"
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	by := func(p string) context.Context {
		return metadata.NewIncomingContext(t.Context(), metadata.Pairs("orlop-proxies-bin", p))
	}
	for said, want := range map[string]string{
		`{"http":"` + first + `"}`:                       "first registry.test",
		`{"http":"` + second + `"}`:                      "second registry.test",
		`{"http":"` + second + `","no":"registry.test"}`: "no way",
		`{"https":"` + second + `"}`:                     "no way",
	} {
		if got := get(by(said)); got != want {
			t.Errorf("by %s: %q, want %q", said, got, want)
		}
	}
	// BuildKit's own requests are of no call: the build that began last counts.
	leave := callers.Enter(&api.Proxies{HTTP: first})
	leaveLast := callers.Enter(&api.Proxies{HTTP: second})
	if got := get(t.Context()); got != "second registry.test" {
		t.Errorf("beside two builds: %q", got)
	}
	leaveLast()
	if got := get(t.Context()); got != "first registry.test" {
		t.Errorf("beside one build: %q", got)
	}
	leave()
	if got := get(t.Context()); got != "no way" {
		t.Errorf("beside no build: %q", got)
	}
}

func TestProxiesOfAnEnvironment(t *testing.T) {
	got := api.ProxiesOf(map[string]string{"http_proxy": "a", "HTTPS_PROXY": "b", "https_proxy": "c", "NO_PROXY": "d"})
	if *got != (api.Proxies{HTTP: "a", HTTPS: "b", No: "d"}) {
		t.Errorf("they are %+v", got)
	}
}
