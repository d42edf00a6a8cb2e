package cluster

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// TestTheLastLinesAreOfWhatHasEnded last, and never what a kubelet says of a log that it has no more.
func TestTheLastLinesAreOfWhatHasEnded(t *testing.T) {
	const lost = "unable to retrieve container logs for containerd://1\n"
	for name, c := range map[string]struct {
		state, current, previous string
		want                     []string
	}{
		"it has ended":                 {"terminated", "second\n", "first\n", []string{"second"}},
		"it is held back":              {"waiting", "second\n", "first\n", []string{"second"}},
		"it was started again":         {"running", "third\n", "second\n", []string{"second"}},
		"what was before it is lost":   {"running", "third\n", lost, []string{"third"}},
		"nothing of it is there":       {"terminated", lost, lost, nil},
		"it has printed nothing (yet)": {"terminated", "", "first\n", []string{"first"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/api/v1/namespaces/shop/pods/web-1":
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprintf(w, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web-1"},"status":{"containerStatuses":[{"name":"web","state":{%q:{}}}]}}`, c.state)
				case r.URL.Query().Get("previous") == "true":
					fmt.Fprint(w, c.previous)
				default:
					fmt.Fprint(w, c.current)
				}
			}))
			defer server.Close()
			config := &rest.Config{Host: server.URL}
			dyn, err := dynamic.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			client := &Client{Namespace: "shop", dyn: dyn, config: config}
			if got := client.LastLines(t.Context(), "web-1", "web", 8); !slices.Equal(got, c.want) {
				t.Errorf("they are %q, want %q", got, c.want)
			}
		})
	}
}
