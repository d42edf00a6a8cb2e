package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// noise is an endless reader of bytes that repeat nowhere within 32 GB.
type noise struct{}

func (noise) Read(p []byte) (int, error) {
	n := len(p) &^ 7
	if n == 0 {
		return 0, io.ErrShortBuffer
	}
	base := uint64(time.Now().UnixNano())
	for i := 0; i < n; i += 8 {
		base = base*6364136223846793005 + 1442695040888963407
		binary.LittleEndian.PutUint64(p[i:], base)
	}
	return n, nil
}

// download is one that has begun and waits to be finished.
type download struct {
	body io.ReadCloser
	head []byte
}

func (d *download) close() { d.body.Close() }

// downloads: download begin NAME URL reads the first bytes and stops there, so
// that the sender waits. download finish NAME FILE reads the rest, which must
// be the file's.
func downloads(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 3, 3, "download begin NAME URL, or download finish NAME FILE")
	s := sceneOf(ts)
	if args[0] == "begin" {
		resp, err := http.Get(args[2])
		ts.Check(err)
		d := &download{body: resp.Body, head: make([]byte, 64<<10)}
		s.downloads[args[1]] = d
		_, err = io.ReadFull(d.body, d.head)
		ts.Check(err)
		return
	}
	d := s.downloads[args[1]]
	got := sha256.New()
	got.Write(d.head)
	n, err := io.Copy(got, d.body)
	if err != nil {
		ts.Fatalf("the download broke after %d bytes: %v", n+int64(len(d.head)), err)
	}
	want := sha256.Sum256([]byte(ts.ReadFile(args[2])))
	if !bytes.Equal(got.Sum(nil), want[:]) {
		ts.Fatalf("the download gave other bytes than %s has", args[2])
	}
}

// asker sends one request after the other, each on a connection of its own.
type asker struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex // guards what follows
	asked  int
	failed []error // refused, or never answered
	cut    []error // under way in a server when that ended
}

func (a *asker) stop() {
	a.cancel()
	a.done.Wait()
}

func (a *asker) run(ctx context.Context, url string) {
	for ctx.Err() == nil {
		_, err := fetch(context.WithoutCancel(ctx), &http.Transport{DisableKeepAlives: true}, url, "")
		a.mu.Lock()
		a.asked++
		switch {
		case errors.Is(err, unix.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			a.cut = append(a.cut, err)
		case err != nil:
			a.failed = append(a.failed, err)
		}
		a.mu.Unlock()
	}
}

// ask: ask begin NAME URL sends requests without a pause; ask end NAME stops
// them. It fails if one was refused, or none was sent. A request that is under
// way in a server that ends without finishing it is lost: ask end NAME CUT says
// how many of those there may be.
func ask(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 3, "ask begin NAME URL, or ask end NAME [CUT]")
	s := sceneOf(ts)
	if args[0] == "begin" {
		ctx, cancel := context.WithCancel(background())
		a := &asker{cancel: cancel}
		s.askers[args[1]] = a
		a.done.Go(func() { a.run(ctx, args[2]) })
		return
	}
	mayBeCut := 0
	if len(args) == 3 {
		var err error
		mayBeCut, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	a := s.askers[args[1]]
	a.stop()
	ts.Logf("%d requests", a.asked)
	if len(a.failed) > 0 || len(a.cut) > mayBeCut || a.asked == 0 {
		ts.Fatalf("of %d requests %d were refused and %d cut:\n%v", a.asked, len(a.failed), len(a.cut), errors.Join(append(a.failed, a.cut...)...))
	}
}

// tail reads a file while it grows, told by inotify.
type tail struct {
	file   *os.File
	notify int
}

func follow(path string) (*tail, error) {
	// Who writes it may not have begun yet.
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, path, unix.IN_MODIFY)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &tail{file: f, notify: fd}, nil
}

func (t *tail) Close() error { return errors.Join(t.file.Close(), unix.Close(t.notify)) }

// until reads until the text matches.
func (t *tail) until(pattern *regexp.Regexp, limit time.Duration) (string, error) {
	deadline := time.Now().Add(limit)
	var text []byte
	for {
		more, err := io.ReadAll(t.file)
		if err != nil {
			return string(text), err
		}
		text = append(text, more...)
		if pattern.Match(text) {
			return string(text), nil
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(t.notify), Events: unix.POLLIN}}, int(max(0, time.Until(deadline).Milliseconds())))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return string(text), err
		}
		if n == 0 && time.Now().After(deadline) {
			return string(text), fmt.Errorf("not after %s", limit)
		}
		if n > 0 {
			var events [4096]byte
			if _, err := unix.Read(t.notify, events[:]); err != nil {
				return string(text), err
			}
		}
	}
}
