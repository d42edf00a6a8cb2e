package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// TestWhatABrokenOffPullLeavesIsKeptForANetworkAlone: what was fetched is kept for the
// next pull only if the network is why there is not more of it.
//
// Fault 10: the disk fills, or fails, in the middle of a pull
// Seen: what the pull could not do
// Kept: the room: the bytes of a pull that failed so are collected at once; those of one that the network broke off wait for the next pull
func TestWhatABrokenOffPullLeavesIsKeptForANetworkAlone(t *testing.T) {
	asked := func(err error) error {
		return fmt.Errorf("failed to copy: %w", &url.Error{Op: "Get", URL: "https://r/v2/", Err: err})
	}
	written := func(err error) error {
		return fmt.Errorf("failed to copy: %w", &fs.PathError{Op: "write", Path: "/ingest/1/data", Err: err})
	}
	read := func(err error) error { return asked(&net.OpError{Op: "read", Net: "tcp", Err: err}) }
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"cancelled":                      {fmt.Errorf("copying: %w", context.Canceled), true},
		"reset":                          {read(unix.ECONNRESET), true},
		"refused":                        {asked(&net.OpError{Op: "dial", Net: "tcp", Err: unix.ECONNREFUSED}), true},
		"no route":                       {asked(&net.OpError{Op: "dial", Net: "tcp", Err: unix.ENETUNREACH}), true},
		"no name":                        {asked(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}), true},
		"timeout":                        {asked(context.DeadlineExceeded), true},
		"timeout of TLS":                 {asked(timeout{}), true},
		"a broken pipe":                  {asked(unix.EPIPE), true},
		"cut off":                        {io.ErrUnexpectedEOF, true},
		"a blob that is cut off":         {&cutBlob{"layer", "sha256:ab", 3, 9}, true},
		"429":                            {answered(429, "429"), true},
		"503":                            {answered(503, "503"), true},
		"404":                            {answered(404, "404"), false},
		"disk full":                      {written(unix.ENOSPC), false},
		"quota used up":                  {written(unix.EDQUOT), false},
		"disk full, by its text":         {errors.New("write /ingest: no space left on device"), false},
		"disk full while it is cut off":  {errors.Join(context.Canceled, written(unix.ENOSPC)), false},
		"disk broken":                    {written(unix.EIO), false},
		"disk broken and cancelled":      {errors.Join(context.Canceled, written(unix.EIO)), false},
		"disk for reading alone":         {written(unix.EROFS), false},
		"too large a file":               {written(unix.EFBIG), false},
		"no right":                       {written(unix.EACCES), false},
		"a certificate of somebody else": {asked(x509.HostnameError{Host: "r", Certificate: &x509.Certificate{}}), false},
		"a certificate of nobody":        {asked(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), false},
		"TLS refused":                    {asked(&net.OpError{Op: "remote error", Err: tls.AlertError(42)}), false},
		"a scheme that is none":          {asked(errors.New("unsupported protocol scheme")), false},
		"another digest":                 {fmt.Errorf("unexpected commit digest: %w", errdefs.ErrFailedPrecondition), false},
		"no error":                       {nil, false},
	} {
		if got := isBrokenOff(c.err); got != c.want {
			t.Errorf("%s (%v) is broken off: %v, want %v", name, c.err, got, c.want)
		}
	}
}

// timeout is one as net/http's own are, which no other package can name.
type timeout struct{}

func (timeout) Error() string   { return "net/http: TLS handshake timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }
