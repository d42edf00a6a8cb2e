package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/settings"
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

// TestAnInsecureRegistryIsAskedWithoutTLSByProxiesToo: insecure together with http is to
// ask with any certificate, or with none.
func TestAnInsecureRegistryIsAskedWithoutTLSByProxiesToo(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "without TLS") }))
	t.Cleanup(backend.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			fmt.Fprint(w, "without TLS, by the proxy, ", r.Host)
			return
		}
		there, err := net.Dial("tcp", strings.TrimPrefix(backend.URL, "http://"))
		if err != nil {
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(there, here); there.Close() }()
		go func() { io.Copy(here, there); here.Close() }()
	}))
	t.Cleanup(proxy.Close)
	for settings, want := range map[string]map[string]string{
		"{http: true, insecure: true}": {"registry.test": "without TLS, by the proxy, registry.test", "elsewhere.test": ""},
		"{insecure: true}":             {"registry.test": ""},
		"{}":                           {"registry.test": ""},
	} {
		for host, body := range want {
			hosts, err := registryHosts(settingsFile(t, "registries: {registry.test: "+settings+"}\n"), &outbound.Callers{})("registry.test")
			if err != nil {
				t.Fatal(err)
			}
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("orlop-proxies-bin", `{"http":"`+proxy.URL+`","https":"`+proxy.URL+`"}`))
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if resp, err := hosts[0].Client.Do(req); err == nil {
				b, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				got = string(b)
			}
			if got != body {
				t.Errorf("%s: %s says %q, want %q", settings, host, got, body)
			}
		}
	}
}

func TestRegistriesWithoutTLS(t *testing.T) {
	root := settingsFile(t, "registries: {a.test: {http: true}, b.test: {insecure: true}, docker.io: {mirrors: ['http://m.test/x', 'https://n.test']}}\n")
	if got := settings.Plain(root); !slices.Equal(got, []string{"a.test", "m.test"}) {
		t.Errorf("they are %q", got)
	}
}

// TestProgramsGoByTheProxiesOfTheBuildThatBeganLast: BuildKit runs git with the environment
// of this process.
func TestProgramsGoByTheProxiesOfTheBuildThatBeganLast(t *testing.T) {
	for _, name := range outbound.Variables() {
		t.Setenv(name, "") // is restored
		os.Unsetenv(name)
	}
	t.Setenv("HTTP_PROXY", "engines")
	t.Setenv("ALL_PROXY", "engines")
	said := func() string {
		return strings.Join([]string{os.Getenv("HTTP_PROXY"), os.Getenv("http_proxy"), os.Getenv("https_proxy"), os.Getenv("ALL_PROXY")}, " ")
	}
	var callers outbound.Callers
	leave := callers.Enter(&api.Proxies{HTTP: "first"})
	leaveLast := callers.Enter(&api.Proxies{HTTPS: "last", All: "socks"})
	both := said()
	leave()
	one := said()
	leaveLast()
	for got, want := range map[string]string{"both " + both: "both   last socks", "one " + one: "one   last socks", "none " + said(): "none engines   engines"} {
		if got != want {
			t.Errorf("beside %q, want %q", got, want)
		}
	}
}

func TestProxiesOfAnEnvironment(t *testing.T) {
	got := api.ProxiesOf(map[string]string{"http_proxy": "a", "HTTPS_PROXY": "b", "https_proxy": "c", "NO_PROXY": "d"})
	if *got != (api.Proxies{HTTP: "a", HTTPS: "b", No: "d"}) {
		t.Errorf("they are %+v", got)
	}
}
