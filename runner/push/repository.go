package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/retry"
)

// repository is one of a registry, as far as a push goes.
type repository struct {
	host  docker.RegistryHost
	named string // the registry, as the reference has it
	name  string // of the repository
	way   pace
	waits func(text string) // is told of pauses
	turn  chan struct{}     // whose turn it is to ask for a token: containerd's authorizer, asked by two at once, writes what it reads
}

func openRepository(spec reference.Spec, hosts docker.RegistryHosts, way pace) (*repository, error) {
	all, err := hosts(spec.Hostname())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(h docker.RegistryHost) bool { return h.Capabilities.Has(docker.HostCapabilityPush) })
	if i < 0 {
		return nil, fmt.Errorf("no registry at %s takes images: its settings name mirrors alone", spec.Hostname())
	}
	_, name, _ := strings.Cut(spec.Locator, "/")
	return &repository{host: all[i], named: spec.Hostname(), name: name, way: way, waits: func(string) {}, turn: make(chan struct{}, 1)}, nil
}

// url is an address below the repository.
func (r *repository) url(parts ...string) string {
	u := url.URL{Scheme: r.host.Scheme, Host: r.host.Host, Path: path.Join(append([]string{"/", r.host.Path, r.name}, parts...)...)}
	return u.String()
}

// request is what a registry is asked.
type request struct {
	method, url string
	header      http.Header
	body        func() (io.ReadCloser, error) // opens it, from the beginning; nil: none
	size        int64                         // of the body
	foreign     bool                          // to somebody else than the registry: without the login
}

// ask asks once, and again with the login that the registry wants. The body of what comes back must
// be closed.
func (r *repository) ask(ctx context.Context, q request) (*http.Response, error) {
	var refusals []*http.Response
	for {
		req, err := r.prepare(ctx, q)
		if err != nil {
			return nil, err
		}
		resp, err := r.host.Client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized || r.host.Authorizer == nil || q.foreign || len(refusals) == mostLogins {
			return resp, nil
		}
		refusals = append(refusals, resp)
		if err := r.host.Authorizer.AddResponses(ctx, refusals); err != nil {
			resp.Body.Close()
			return nil, errors.Join(err, &refusal{status: resp.StatusCode})
		}
		discard(resp)
	}
}

// mostLogins is how often one request is sent again with another login: a token may have expired.
const mostLogins = 2

func (r *repository) prepare(ctx context.Context, q request) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range r.host.Header {
		req.Header[k] = slices.Clone(v)
	}
	for k, v := range q.header {
		req.Header[k] = v
	}
	if r.host.Authorizer != nil && !q.foreign {
		if err := r.authorize(ctx, req); err != nil {
			return nil, err
		}
	}
	if q.body != nil {
		if req.Body, err = q.body(); err != nil {
			return nil, err
		}
		req.GetBody, req.ContentLength = q.body, q.size
	}
	return req, nil
}

// authorize adds the login, or a token that it gives, once one was asked for.
func (r *repository) authorize(ctx context.Context, req *http.Request) error {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-r.turn }()
	return r.host.Authorizer.Authorize(ctx, req)
}

// discard reads what is left of an answer, so that its connection serves again.
func discard(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
}

// do asks until the answer has one of some statuses, for as long as what comes instead passes.
func (r *repository) do(ctx context.Context, q request, want ...int) (resp *http.Response, err error) {
	err = r.patiently(ctx, func() error {
		resp, err = r.once(ctx, q, want...)
		return err
	})
	return resp, err
}

// once asks once. An answer of another status is a *refusal.
func (r *repository) once(ctx context.Context, q request, want ...int) (*http.Response, error) {
	resp, err := r.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(want, resp.StatusCode) {
		defer resp.Body.Close()
		return nil, refusalOf(resp, r.way.now())
	}
	return resp, nil
}

// has says whether the repository has a blob.
func (r *repository) has(ctx context.Context, kind string, d ocispec.Descriptor) (bool, error) {
	resp, err := r.do(ctx, request{method: http.MethodHead, url: r.url(kind, d.Digest.String())}, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	defer discard(resp)
	return resp.StatusCode == http.StatusOK, nil
}

// manifest says whether a tag points to a document.
func (r *repository) manifest(ctx context.Context, tag string, d ocispec.Descriptor) (bool, error) {
	q := request{method: http.MethodHead, url: r.url("manifests", tag), header: http.Header{"Accept": {d.MediaType + ", */*"}}}
	resp, err := r.do(ctx, q, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return false, err
	}
	defer discard(resp)
	return resp.StatusCode == http.StatusOK && resp.Header.Get("Docker-Content-Digest") == d.Digest.String(), nil
}

// putManifest gives a document a tag, or puts it there under its digest.
func (r *repository) putManifest(ctx context.Context, tag string, d ocispec.Descriptor, text []byte) error {
	q := request{
		method: http.MethodPut, url: r.url("manifests", tag), header: http.Header{"Content-Type": {d.MediaType}},
		body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, size: int64(len(text)),
	}
	resp, err := r.do(ctx, q, http.StatusCreated, http.StatusOK, http.StatusAccepted, http.StatusNoContent)
	if err != nil {
		return err
	}
	defer discard(resp)
	return r.agrees(resp, d.Digest)
}

// agrees is an error if the registry says that it has taken something else.
func (r *repository) agrees(resp *http.Response, want digest.Digest) error {
	if got := resp.Header.Get("Docker-Content-Digest"); got != "" && got != want.String() {
		return fmt.Errorf("digest mismatch: sent %s, and the registry has taken %s: a proxy before it damages what it hands on", want, said(got))
	}
	return nil
}

// refusal is an answer that is not what was asked for.
type refusal struct {
	status        int
	code, message string        // of the specification ("Error Codes"), where it has one
	after         time.Duration // that it asks to wait; 0: it does not say
}

func (e *refusal) Error() string {
	text := fmt.Sprintf("the registry answers %d %s", e.status, http.StatusText(e.status))
	switch {
	case e.message != "":
		return fmt.Sprintf("%s (%s)", text, e.message)
	case e.code != "":
		return fmt.Sprintf("%s (%s)", text, e.code)
	}
	return text
}

// mostRefusal bounds the bytes that are read of a refusal, mostSaid the letters that are shown of it.
const (
	mostRefusal = 64 << 10
	mostSaid    = 200
)

func refusalOf(resp *http.Response, now time.Time) *refusal {
	e := &refusal{status: resp.StatusCode, after: retry.After(resp.Header.Get("Retry-After"), now)}
	var doc struct {
		Errors []struct{ Code, Message string }
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, mostRefusal))
	if json.Unmarshal(text, &doc) == nil && len(doc.Errors) > 0 {
		e.code, e.message = said(doc.Errors[0].Code), said(doc.Errors[0].Message)
	}
	return e
}

// said is a text of a stranger on one line, without what would steer a terminal or turn the text around it.
func said(text string) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " "))
	if runes := []rune(clean); len(runes) > mostSaid {
		return string(runes[:mostSaid]) + "…"
	}
	return clean
}
