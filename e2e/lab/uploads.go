package lab

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
)

// Did is how many requests of a method there were for repositories of a kind.
func (r *Registry) Did(method, kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.did[method+" "+kind]
}

// Taken is how many bytes were sent to repositories of a kind, in all.
func (r *Registry) Taken(kind string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.puts[kind]
}

// counted counts what is sent to a kind of repositories.
type counted struct {
	io.ReadCloser
	registry *Registry
	kind     string
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.registry.mu.Lock()
	c.registry.puts[c.kind] += n
	c.registry.mu.Unlock()
	return n, err
}

// refusesUpload answers in place of the repositories that take nothing.
func (r *Registry) refusesUpload(w http.ResponseWriter, req *http.Request, kind string, again bool) bool {
	isChange := req.Method != http.MethodGet && req.Method != http.MethodHead
	switch {
	case kind == "busy" && !again:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS")
	case kind == "denied" && isChange:
		refuse(w, http.StatusForbidden, "DENIED")
	case kind == "uncreated" && isChange:
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
	default:
		return false
	}
	return true
}

// cutUpload takes half of what is sent to an upload for the first time, and hangs up.
func (r *Registry) cutUpload(store http.Handler, w http.ResponseWriter, req *http.Request, kind string, again bool) {
	isContent := req.Method == http.MethodPatch || req.Method == http.MethodPut && req.ContentLength > 0
	repository, _, isUpload := strings.Cut(req.URL.Path, "/blobs/uploads/")
	key := repository + " cut " + strconv.FormatInt(req.ContentLength, 10)
	r.mu.Lock()
	r.asked[key]++
	again = again || r.asked[key] > 1
	r.mu.Unlock()
	if again || !isContent || !isUpload {
		store.ServeHTTP(w, req)
		return
	}
	half := req.Clone(req.Context())
	half.Method = http.MethodPatch
	half.URL.RawQuery = ""
	half.Body = io.NopCloser(io.LimitReader(req.Body, req.ContentLength/2))
	store.ServeHTTP(httptest.NewRecorder(), half)
	if kind == "forgetful" {
		r.store.mu.Lock()
		delete(r.store.uploads, path.Base(req.URL.Path))
		r.store.mu.Unlock()
	}
	panic(http.ErrAbortHandler)
}
