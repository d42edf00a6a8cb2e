package origin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// spy is a server that remembers what it was sent.
type spy struct {
	*httptest.Server
	seen []string // "METHOD authorization body"
}

func newSpy(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *spy {
	t.Helper()
	s := &spy{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.seen = append(s.seen, strings.TrimSpace(r.Method+" "+r.Header.Get("Authorization")+" "+string(body)))
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// TestCredentialsStayWithTheirHost: a registry that redirects to another port
// of the same machine gives nobody there the credentials.
//
// Risk registry auth leak: a registry redirects to another port or host, or names a token server without TLS
// Held: Authorization goes to the scheme, host and port alone that it was written for; a login is never redirected
func TestCredentialsStayWithTheirHost(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			other := newSpy(t, nil)
			var back string
			registry := newSpy(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/away":
					http.Redirect(w, r, other.URL+"/blob", status)
				case "/inside":
					http.Redirect(w, r, "/blob", status)
				case "/form":
					http.Redirect(w, r, other.URL+"/token", status)
				}
			})
			back = registry.URL
			host := strings.TrimPrefix(back, "http://")
			client := Bind(nil, host, true)
			get := func(path string) {
				t.Helper()
				req, err := http.NewRequest(http.MethodGet, back+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Basic c2VjcmV0")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			get("/away")
			if len(other.seen) != 1 || strings.Contains(other.seen[0], "Basic") {
				t.Errorf("the other port is sent %q", other.seen)
			}
			get("/inside")
			if last := registry.seen[len(registry.seen)-1]; last != "GET Basic c2VjcmV0" {
				t.Errorf("the registry itself is sent %q", last)
			}
			resp, err := client.PostForm(back+"/form", url.Values{"password": {"secret"}})
			if err == nil {
				resp.Body.Close()
			}
			for _, s := range other.seen {
				if strings.Contains(s, "secret") {
					t.Errorf("the other port is sent the login: %q", s)
				}
			}
			if preserves := status >= 307; preserves != (err != nil) || preserves && !strings.Contains(err.Error(), "the password stays here") {
				t.Errorf("a login that is redirected: %v", err)
			}
		})
	}
}

func TestNoLoginWithoutTLS(t *testing.T) {
	sent := 0
	base := roundTrip(func(*http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	for name, test := range map[string]struct {
		plain bool
		url   string
		auth  bool
		ok    bool
	}{
		"with TLS":                    {false, "https://auth.example/token", true, true},
		"without":                     {false, "http://auth.example/token", true, false},
		"without, and without login":  {false, "http://auth.example/token", false, true},
		"of a registry without":       {true, "http://auth.example/token", true, true},
		"on this machine":             {false, "http://127.0.0.1:5000/token", true, true},
		"on this machine, by name":    {false, "http://localhost:5000/token", true, true},
		"a name that begins likewise": {false, "http://localhost.example/token", true, false},
	} {
		req, err := http.NewRequest(http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.auth {
			req.SetBasicAuth("ann", "secret")
		}
		sent = 0
		_, err = (&Transport{Base: base, Host: "registry.example", Plain: test.plain}).RoundTrip(req)
		if (err == nil) != test.ok || (sent == 1) != test.ok {
			t.Errorf("%s: sent %d times, %v", name, sent, err)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
