package registry

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
)

// opening is a blob that counts how many of it are open. As containerd's, it may not be closed while it is read.
type opening struct {
	from     io.Reader
	open     *atomic.Int32
	isClosed bool
}

func (o *opening) Read(p []byte) (int, error) {
	if o.isClosed {
		return 0, os.ErrClosed
	}
	return o.from.Read(p)
}

func (o *opening) Close() error {
	if !o.isClosed {
		o.open.Add(-1)
	}
	o.isClosed = true
	return nil
}

func newReading(text []byte, open *atomic.Int32, during func()) *reading {
	return &reading{size: int64(len(text)), fetch: func() (io.ReadCloser, error) {
		open.Add(1)
		if during != nil {
			during()
		}
		return &opening{from: bytes.NewReader(text), open: open}, nil
	}}
}

// TestABlobIsReadFromAnywhere, and fetched anew only where it is not read on.
func TestABlobIsReadFromAnywhere(t *testing.T) {
	var open atomic.Int32
	r := newReading([]byte("0123456789"), &open, nil)
	for _, c := range []struct {
		from int64
		want string
	}{{0, "012"}, {3, "345"}, {8, "89"}, {1, "123"}} {
		p := make([]byte, 3)
		n, err := r.ReadAt(p, c.from)
		if string(p[:n]) != c.want || err != nil {
			t.Errorf("from %d: %q, %v", c.from, p[:n], err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 1), 10); n != 0 || err != io.EOF {
		t.Errorf("behind its end: %d, %v", n, err)
	}
	if err := r.Close(); err != nil || open.Load() != 0 {
		t.Errorf("%d are open: %v", open.Load(), err)
	}
}

// TestABlobIsClosedWhileItIsRead, as the transport of a request does: nothing stays open, and nothing is read on.
func TestABlobIsClosedWhileItIsRead(t *testing.T) {
	for range 200 {
		var open atomic.Int32
		r := newReading(make([]byte, 1<<16), &open, nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for at := int64(0); ; at += 100 {
				if _, err := r.ReadAt(make([]byte, 50), at%(1<<16)); err != nil {
					return
				}
			}
		}()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
		if n := open.Load(); n != 0 {
			t.Fatalf("%d are open", n)
		}
	}
	var open atomic.Int32
	var r *reading
	r = newReading([]byte("x"), &open, func() { r.Close() })
	if _, err := r.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) || open.Load() != 0 {
		t.Errorf("closed while it is fetched: %v, %d are open", err, open.Load())
	}
}
