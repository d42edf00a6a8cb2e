package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/retry"
)

// worthwhile is how large a blob is that is gone on with after a cut: it is sent in a stream (PATCH), of which
// registries keep what came. A smaller one goes in one request (PUT), and from the beginning again.
const worthwhile = 1 << 20

// mostCuts is how often an upload is gone on with in all.
const mostCuts = 50

// upload is the way of one blob into a repository.
type upload struct {
	repo   *repository
	from   content.Provider
	desc   ocispec.Descriptor
	counts func(bytes int64) // is told what was sent; less than 0: it must be sent again

	location *url.URL
	foreign  bool  // somebody else than the registry takes it in
	at       int64 // bytes that the registry has, as far as is known
	counted  int64 // bytes that counts was told of
	now      *body // what was sent last
}

// begin asks for an upload, or for the blob of another repository, which makes it needless.
func (u *upload) begin(ctx context.Context, source string) (mounted bool, err error) {
	where := u.repo.url("blobs", "uploads") + "/"
	if source != "" {
		asked, err := u.open(docker.ContextWithAppendPullRepositoryScope(ctx, source), where+"?"+url.Values{"mount": {u.desc.Digest.String()}, "from": {source}}.Encode())
		if err == nil || passes(err) || ctx.Err() != nil {
			return asked, err
		}
		// Who may push here may not be one who may pull there.
	}
	return u.open(ctx, where)
}

func (u *upload) open(ctx context.Context, where string) (mounted bool, err error) {
	resp, err := u.repo.do(ctx, request{method: http.MethodPost, url: where}, http.StatusAccepted, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	if err != nil {
		return false, err
	}
	defer discard(resp)
	u.at = 0
	if resp.StatusCode == http.StatusCreated {
		return true, u.repo.agrees(resp, u.desc.Digest)
	}
	return false, u.follow(resp)
}

// follow takes the address that an upload is gone on at. One elsewhere gets no login.
func (u *upload) follow(resp *http.Response) error {
	text := resp.Header.Get("Location")
	if text == "" {
		if u.location != nil {
			return nil
		}
		return errors.New("the registry takes an upload and does not say where: it is no registry, or a proxy before it damages what it hands on")
	}
	next, err := resp.Request.URL.Parse(text)
	if err != nil {
		return fmt.Errorf("the registry takes uploads at %q, which is no address", said(text))
	}
	was := resp.Request.URL
	u.foreign = u.foreign || next.Host != was.Host || next.Scheme != was.Scheme
	u.location = next
	return nil
}

// send sends the blob, and goes on where it was cut off.
func (u *upload) send(ctx context.Context) error {
	attempt := 0
	for cuts := 1; ; cuts++ {
		began := u.at
		err := u.rest(ctx)
		if err == nil {
			u.at = u.desc.Size
		}
		u.settle()
		if attempt++; err == nil || ctx.Err() != nil || cuts > mostCuts || attempt >= retry.Attempts || !passes(err) && !isLost(err) {
			return err
		}
		if err := u.repo.pause(ctx, attempt, err); err != nil {
			return err
		}
		if err := u.again(ctx, err); err != nil {
			return err
		}
		if u.at-began >= worthwhile {
			attempt = 0
		}
	}
}

// settle counts what is there, and nothing else.
func (u *upload) settle() {
	if u.now != nil {
		u.counted += u.now.end()
		u.now = nil
	}
	u.counts(u.at - u.counted)
	u.counted = u.at
}

// isLost says that a registry knows an upload no more, or another offset of it.
func isLost(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && (r.status == http.StatusRequestedRangeNotSatisfiable || r.status == http.StatusNotFound || slices.Contains([]string{"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID"}, r.code))
}

// again goes on with an upload that has failed, or begins it anew where the registry has nothing of it.
func (u *upload) again(ctx context.Context, failed error) error {
	defer u.settle()
	if _, isRefused := errors.AsType[*refusal](failed); isRefused && u.desc.Size < worthwhile && !isLost(failed) {
		return nil // it has taken nothing, and may take it later
	}
	if u.resume(ctx) {
		return nil
	}
	u.location, u.foreign = nil, false
	isThere, err := u.begin(ctx, "")
	if isThere {
		u.at = u.desc.Size
	}
	return err
}

// resume asks how much of the blob is there. It is false where that can't be told, or is nothing.
func (u *upload) resume(ctx context.Context) bool {
	if u.desc.Size < worthwhile {
		return false
	}
	resp, err := u.repo.do(ctx, request{method: http.MethodGet, url: u.location.String(), foreign: u.foreign}, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return false
	}
	defer discard(resp)
	have, ok := rangeOf(resp)
	if !ok || have == 0 || have > u.desc.Size || u.follow(resp) != nil {
		return false
	}
	u.at = have
	return true
}

// rangeOf is how many bytes of an upload a registry has, by the Range of an answer ("0-1023").
func rangeOf(resp *http.Response) (int64, bool) {
	first, last, ok := strings.Cut(strings.TrimPrefix(resp.Header.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseInt(last, 10, 64)
	switch {
	case !ok || first != "0" || err != nil || end < 0:
		return 0, false
	case end == 0: // nothing and one byte are written alike
		return 0, true
	}
	return end + 1, true
}

// rest sends what the registry has not yet.
func (u *upload) rest(ctx context.Context) error {
	if u.desc.Size < worthwhile {
		return u.finish(ctx, u.opener(ctx, 0), u.desc.Size)
	}
	if u.at < u.desc.Size {
		if err := u.stream(ctx); err != nil {
			return err
		}
	}
	return u.finish(ctx, nil, 0)
}

// stream sends the rest in one PATCH.
func (u *upload) stream(ctx context.Context) error {
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if u.at > 0 {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", u.at, u.desc.Size-1))
	}
	q := request{method: http.MethodPatch, url: u.location.String(), header: header, body: u.opener(ctx, u.at), size: u.desc.Size - u.at, foreign: u.foreign}
	resp, err := u.repo.once(ctx, q, http.StatusAccepted, http.StatusOK, http.StatusCreated, http.StatusNoContent)
	if err != nil {
		return err
	}
	defer discard(resp)
	if have, ok := rangeOf(resp); ok && have < u.desc.Size {
		return io.ErrUnexpectedEOF
	}
	u.at = u.desc.Size
	return u.follow(resp)
}

// finish ends an upload by the digest of the blob.
func (u *upload) finish(ctx context.Context, open func() (io.ReadCloser, error), size int64) error {
	to := *u.location
	query := to.Query()
	query.Set("digest", u.desc.Digest.String())
	to.RawQuery = query.Encode()
	q := request{method: http.MethodPut, url: to.String(), header: http.Header{"Content-Type": {"application/octet-stream"}}, body: open, size: size, foreign: u.foreign}
	resp, err := u.repo.once(ctx, q, http.StatusCreated, http.StatusOK, http.StatusAccepted, http.StatusNoContent)
	if err != nil {
		return err
	}
	defer discard(resp)
	return u.repo.agrees(resp, u.desc.Digest)
}

// opener opens the blob from an offset on. What is read of it counts as sent, of what was opened
// last: net/http opens it again where a registry redirects.
func (u *upload) opener(ctx context.Context, from int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		ra, err := u.from.ReaderAt(ctx, u.desc)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", u.desc.Digest, err)
		}
		u.settle()
		u.now = &body{of: io.NewSectionReader(ra, from, u.desc.Size-from), close: ra.Close, counts: u.counts}
		return u.now, nil
	}
}

// body is a blob as it is sent. net/http may read it for some time after it has answered.
type body struct {
	of     io.Reader
	close  func() error
	counts func(bytes int64)

	mu    sync.Mutex
	read  int64 // guarded by mu
	ended bool  // guarded by mu: nothing counts any more
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.of.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		b.read += int64(n)
		b.counts(int64(n))
	}
	return n, err
}

// end gives how much was counted.
func (b *body) end() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	return b.read
}

func (b *body) Close() error { return b.close() }
