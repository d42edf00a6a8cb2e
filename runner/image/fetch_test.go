package image

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// cutting is a fetcher that gives so many bytes of a blob per request, and then
// an error.
type cutting struct {
	text  string
	each  int
	err   error
	asked int
}

func (c *cutting) Fetch(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
	c.asked++
	return &cutReader{c: c}, nil
}

type cutReader struct {
	c        *cutting
	at, sent int
}

func (r *cutReader) Read(p []byte) (int, error) {
	switch {
	case r.at >= len(r.c.text):
		return 0, io.EOF
	case r.sent >= r.c.each:
		return 0, r.c.err
	}
	n := copy(p[:min(len(p), r.c.each-r.sent)], r.c.text[r.at:])
	r.at, r.sent = r.at+n, r.sent+n
	return n, nil
}

func (r *cutReader) Seek(offset int64, _ int) (int64, error) { r.at = int(offset); return offset, nil }
func (r *cutReader) Close() error                            { return nil }

// TestABlobIsGoneOnWithABoundedNumberOfTimes: see the risk.
//
// Risk legal input: a registry that sends a byte at a time, or nothing
// Held: a bounded number of requests
func TestABlobIsGoneOnWithABoundedNumberOfTimes(t *testing.T) {
	short, long := strings.Repeat("0123456789", 30), strings.Repeat("0123456789abcdef", 60*worthwhile/16)
	for name, test := range map[string]struct {
		each  int
		err   error
		asked int
		want  string
	}{
		"whole":                        {300, io.EOF, 1, ""},
		"cut off, and gone on with":    {100, io.EOF, 3, ""},
		"reset, and gone on with":      {150, unix.ECONNRESET, 2, ""},
		"a byte at a time, for ever":   {1, io.EOF, 1 + mostResumes, "layer sha256:x ends after 51 of 300 bytes"},
		"nothing comes":                {0, unix.ECONNRESET, 1 + staleResumes, "layer sha256:x ends after 0 of 300 bytes"},
		"broken off, asked three more": {0, io.ErrUnexpectedEOF, 2, "layer sha256:x ends after 0 of 300 bytes"},
		"another error":                {10, errors.New("no"), 1, "no"},
		"long, and cut off often":      {worthwhile, io.EOF, 60, ""},
		"long, and cut off too often":  {worthwhile - 1, io.EOF, 1 + mostResumes, "again and again"},
	} {
		text := short
		if strings.HasPrefix(name, "long") {
			text = long
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &cutting{text: text, each: test.each, err: test.err}
				var f remotes.Fetcher = resumingFetcher{c}
				rc, err := f.Fetch(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: "sha256:x", Size: int64(len(text))})
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(rc)
				if c.asked != test.asked {
					t.Errorf("it is asked for %d times, want %d", c.asked, test.asked)
				}
				if test.want == "" && (err != nil || string(got) != text) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if isPassing(err) {
					t.Error("the whole pull would be tried again")
				}
			})
		})
	}
}
