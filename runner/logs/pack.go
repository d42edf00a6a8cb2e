package logs

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/orlop/orlop/runner/disk"
)

// packing is the compressing of full files, one after the other, beside the writing of
// new ones: neither who prints nor who asks waits for it. A file is read as it was until
// its compressed one is whole.
type packing struct {
	queue []*os.File         // to be compressed; shifted to other names meanwhile
	done  chan struct{}      // closed once the queue is empty; nil: nothing is being compressed
	stop  context.CancelFunc // ends it at once; what is not done stays as it is
}

// pack has a full file compressed. The caller holds mu.
func (w *Log) pack(path string) {
	f, err := os.Open(path)
	if err != nil {
		return // nothing was there
	}
	p := &w.packing
	p.queue = append(p.queue, f)
	if len(p.queue) >= w.keep.Files { // more than are kept: the first is gone
		p.queue[0].Close()
		p.queue = p.queue[1:]
	}
	if p.done != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.done, p.stop = make(chan struct{}), cancel
	go w.packAll(ctx, p.done)
}

// packAll compresses what is in the queue.
func (w *Log) packAll(ctx context.Context, done chan struct{}) {
	defer close(done)
	for {
		w.mu.Lock()
		p := &w.packing
		if len(p.queue) == 0 {
			p.stop()
			p.done = nil
			w.mu.Unlock()
			return
		}
		in := p.queue[0]
		p.queue = p.queue[1:]
		w.mu.Unlock()
		err := w.compress(ctx, in)
		in.Close()
		if err != nil && ctx.Err() == nil { // the file stays as it is
			w.log.Warn("a container's log cannot be compressed", "container", w.origin.Container, "error", err)
		}
	}
}

// stopPacking ends the compressing, after a time in which it may end by itself.
func (w *Log) stopPacking(patience time.Duration) {
	w.mu.Lock()
	done, stop := w.packing.done, w.packing.stop
	w.mu.Unlock()
	if done == nil {
		return
	}
	timer := time.AfterFunc(patience, stop)
	defer timer.Stop()
	<-done
}

// whileRunning reads until a context ends.
type whileRunning struct {
	io.Reader
	ctx context.Context
}

func (r whileRunning) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// compress puts a compressed file in the place of a file, wherever that is by then. The
// file goes only after the compressed one is on the disk, and its name too: a power
// failure loses neither.
func (w *Log) compress(ctx context.Context, in *os.File) error {
	fresh := w.path + ".packing" + zipped
	defer os.Remove(fresh)
	if err := deflate(fresh, whileRunning{in, ctx}); err != nil {
		return err
	}
	if st, err := in.Stat(); err == nil {
		_ = os.Chtimes(fresh, st.ModTime(), st.ModTime()) // see stampFile
	}
	w.mu.Lock()
	at := w.place(in)
	if at == "" { // it was rotated away meanwhile
		w.mu.Unlock()
		return nil
	}
	err := os.Rename(fresh, at+zipped)
	w.mu.Unlock()
	if err == nil {
		err = disk.Sync(filepath.Dir(w.path))
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if at = w.place(in); at == "" {
		return nil
	}
	return os.Remove(at)
}

// place is the path that a full file has by now; "" is none. The caller holds mu.
func (w *Log) place(f *os.File) string {
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	for i := 1; i < w.keep.Files; i++ {
		if other, err := os.Stat(numbered(w.path, i)); err == nil && os.SameFile(st, other) {
			return numbered(w.path, i)
		}
	}
	return ""
}

// deflate writes a compressed file, and sees that it is on the disk.
func deflate(path string, in io.Reader) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Sync()
}
