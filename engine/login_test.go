package engine

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/settings"
)

// TestBuildsLogInBySettings: a request without a login of its own has that of
// engine.yaml, where the registry asks for one.
func TestBuildsLogInBySettings(t *testing.T) {
	for name, challenge := range map[string]string{"basic": "Basic realm=x", "bearer": "Bearer"} {
		t.Run(name, func(t *testing.T) {
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				known := user == "ann" && password == "open sesame"
				switch {
				case r.URL.Path == "/token" && known:
					fmt.Fprint(w, `{"token":"let me in"}`)
				case r.URL.Path != "/token" && (known && name == "basic" || r.Header.Get("Authorization") == "Bearer let me in" || r.Header.Get("Authorization") == "mine"):
					fmt.Fprint(w, "the manifest")
				default:
					ask := challenge
					if name == "bearer" {
						ask = fmt.Sprintf(`Bearer realm="%s/token",service="x",scope="repository:a:pull"`, server.URL)
					}
					w.Header().Set("WWW-Authenticate", ask)
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			root := t.TempDir()
			write := func(user string) {
				t.Helper()
				text := fmt.Sprintf("registries:\n  %q:\n    http: true\n    username: %s\n    password_file: %s/password\n", host, user, root)
				if err := os.WriteFile(settings.Path(root), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(root, "password"), []byte("open sesame\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			get := func(header string) string {
				t.Helper()
				hosts, err := loggedIn(registryHosts(root, &outbound.Callers{}), root)(host)
				if err != nil || len(hosts) == 0 {
					t.Fatalf("%v, %v", hosts, err)
				}
				req, err := http.NewRequest("GET", server.URL+"/v2/a/manifests/1", nil)
				if err != nil {
					t.Fatal(err)
				}
				if header != "" {
					req.Header.Set("Authorization", header)
				}
				resp, err := hosts[0].Client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				return fmt.Sprint(resp.StatusCode, " ", string(body))
			}
			write("ann")
			if got := get(""); got != "200 the manifest" {
				t.Errorf("with a login: %s", got)
			}
			if got := get("mine"); got != "200 the manifest" {
				t.Errorf("with one of the caller's: %s", got)
			}
			if got := get("other"); got != "401 " {
				t.Errorf("with a wrong one of the caller's: %s", got)
			}
			write("eve")
			if got := get(""); got != "401 " && name == "basic" {
				t.Errorf("with a wrong one: %s", got)
			}
		})
	}
}

// upload is a request's body that knows how it is used.
type upload struct {
	io.Reader
	closed *atomic.Int32
}

func (u upload) Close() error { u.closed.Add(1); return nil }

// TestABodyIsSentAndClosed: once where no login is asked for, once more after the
// login; of a push each further beginning starts the upload of a layer anew.
func TestABodyIsSentAndClosed(t *testing.T) {
	for name, asks := range map[string]bool{"no login": false, "a login": true} {
		t.Run(name, func(t *testing.T) {
			var got []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = append(got, string(body))
				if user, _, _ := r.BasicAuth(); asks && user == "" {
					w.Header().Set("WWW-Authenticate", "Basic realm=x")
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			root := settingsFile(t, fmt.Sprintf("registries: {%q: {http: true, username: ann, password_file: /proc/self/comm}}\n", host))
			hosts, err := loggedIn(registryHosts(root, &outbound.Callers{}), root)(host)
			if err != nil {
				t.Fatal(err)
			}
			opened := 0
			var closed atomic.Int32
			open := func() (io.ReadCloser, error) {
				opened++
				return upload{strings.NewReader("layer"), &closed}, nil
			}
			req, err := http.NewRequest("PUT", server.URL+"/v2/a/blobs/uploads/1", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Body, _ = open()
			req.GetBody, req.ContentLength = open, 5
			resp, err := hosts[0].Client.Transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := 1
			if asks {
				want = 2
			}
			if len(got) != want || got[want-1] != "layer" || resp.StatusCode != http.StatusOK {
				t.Errorf("it sends %q: %s", got, resp.Status)
			}
			if opened != want || int(closed.Load()) != want {
				t.Errorf("%d bodies are opened and %d closed, want %d", opened, closed.Load(), want)
			}
		})
	}
}
