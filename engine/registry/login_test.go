package registry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// TestLogins are asked of the registry before they are kept.
func TestLogins(t *testing.T) {
	for name, c := range map[string]struct {
		serve    http.HandlerFunc
		user     string
		password string
		identity string
		want     string
	}{
		"basic":            {serve: basic, user: "ann", password: "right"},
		"basic, wrong":     {serve: basic, user: "ann", password: "wrong", want: "it does not take this login: the user name or the password is wrong"},
		"bearer":           {serve: bearer(http.MethodGet), user: "ann", password: "right", identity: "idt"},
		"bearer, by POST":  {serve: bearer(http.MethodPost), user: "ann", password: "right", identity: "idt"},
		"bearer, wrong":    {serve: bearer(http.MethodGet), user: "ann", password: "wrong", want: "it does not take this login"},
		"POST, wrong":      {serve: bearer(http.MethodPost), user: "ann", password: "wrong", want: "it does not take this login"},
		"identity token":   {serve: bearer(http.MethodPost), password: "idt", identity: "idt"},
		"none is wanted":   {serve: func(http.ResponseWriter, *http.Request) {}, user: "ann", password: "any"},
		"no registry":      {serve: http.NotFound, user: "ann", password: "any", want: "it answers /v2/ with 404 Not Found: is it a registry?"},
		"in trouble":       {serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, want: "502 Bad Gateway"},
		"in another way":   {serve: asks(`Negotiate`), want: "neither basic nor bearer"},
		"an absent server": {serve: asks(`Bearer realm="http://127.0.0.1:1/token"`), user: "ann", password: "any", want: "can't be reached (connection refused)"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			l := &login{named: host, host: docker.RegistryHost{Client: http.DefaultClient, Scheme: "http", Host: host, Path: "/v2"}, user: c.user, secret: c.password}
			identity, err := l.check(t.Context())
			if err != nil {
				err = l.inWords(err)
			}
			if identity != c.identity || (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "cannot log in at "+host+": ")) {
				t.Errorf("%q, %v", identity, err)
			}
		})
	}
}

func asks(challenge string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func basic(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); user != "ann" || password != "right" {
		asks(`Basic realm="x"`)(w, r)
	}
}

// bearer is a registry whose token server knows one way of asking.
func bearer(method string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/" && r.Header.Get("Authorization") == "Bearer good":
		case r.URL.Path == "/v2/":
			asks(fmt.Sprintf(`Bearer realm="http://%s/token",service="s"`, r.Host))(w, r)
		case r.Method != method:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case !isRight(r):
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprint(w, `{"token":"good","access_token":"good","refresh_token":"idt"}`)
		}
	}
}

func isRight(r *http.Request) bool {
	if r.Method == http.MethodGet {
		user, password, _ := r.BasicAuth()
		return user == "ann" && password == "right" && r.URL.Query().Get("offline_token") == "true"
	}
	_ = r.ParseForm()
	form := url.Values(r.PostForm)
	return form.Get("password") == "right" && form.Get("username") == "ann" && form.Get("access_type") == "offline" || form.Get("refresh_token") == "idt"
}
