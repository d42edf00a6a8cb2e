package runner

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
)

// LogOptions select lines of logs.
type LogOptions struct {
	Services   []string  // empty: all
	Containers []string  // IDs; empty: all of the services
	Follow     bool      // go on with what is printed from now on, by containers to come too
	Tail       int       // lines of each container; negative: all
	Since      time.Time // zero: from the start
	Until      time.Time // zero: to the end
}

// Line is one line, or a part of one, that a container printed.
type Line struct {
	ID        string // of the container
	Container string // its name
	Service   string
	Number    int
	OneOff    bool
	Time      time.Time
	Stderr    bool
	Partial   bool
	Text      []byte
}

// Logs gives the lines that the containers of a project printed: what is
// there in the order of time, then, with Follow, each as it comes, until ctx
// ends. emit is called by one goroutine at a time; an error of it ends Logs.
func (r *Runner) Logs(ctx context.Context, project string, opts LogOptions, emit func(Line) error) error {
	var mu sync.Mutex
	safe := func(l Line) error {
		mu.Lock()
		defer mu.Unlock()
		return emit(l)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	seen := map[string]position{}
	follow := func(c *container, at position) {
		wg.Go(func() {
			if err := c.follow(ctx, opts, at, safe); err != nil {
				cancel(err)
			}
		})
	}
	var feeds []iter.Seq2[Line, error]
	for _, p := range r.Containers(project) {
		c := r.lookup(p.ID)
		if c == nil || !opts.wants(&p) {
			continue
		}
		files, at, err := c.log.files()
		defer closeAll(files)
		if err != nil {
			return err
		}
		seen[p.ID] = at
		feeds = append(feeds, c.lines(files, at, opts))
	}
	if err := inOrder(feeds, safe); err != nil {
		return err
	}
	if opts.Follow && !opts.Until.IsZero() {
		var done context.CancelFunc
		ctx, done = context.WithDeadlineCause(ctx, opts.Until, context.Canceled)
		defer done()
	}
	if !opts.Follow {
		return nil
	}
	return r.followAll(ctx, project, opts, seen, follow)
}

// followAll follows the containers there are and those to come.
func (r *Runner) followAll(ctx context.Context, project string, opts LogOptions, seen map[string]position, follow func(*container, position)) error {
	for id, at := range seen {
		if c := r.lookup(id); c != nil {
			follow(c, at)
		}
	}
	r.Watch(ctx, project, func(p planner.Container, removed bool) {
		c := r.lookup(p.ID)
		_, known := seen[p.ID]
		if removed || known || c == nil || !opts.wants(&p) {
			return
		}
		seen[p.ID] = position{}
		follow(c, position{})
	}, func() {})
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (o *LogOptions) wants(c *planner.Container) bool {
	return (len(o.Services) == 0 || slices.Contains(o.Services, c.Service)) &&
		(len(o.Containers) == 0 || slices.Contains(o.Containers, c.ID))
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// maxTail is more lines than the files of a log hold.
const maxTail = 1 << 30

// lines are those that are there; with a tail, the last of them.
func (c *container) lines(files []*os.File, at position, opts LogOptions) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		stopped := errors.New("stopped")
		last := tail{lines: min(opts.Tail, maxTail)}
		keep := func(l Line) error {
			switch {
			case !opts.in(l.Time):
			case opts.Tail >= 0:
				last.add(l)
			case !yield(l, nil):
				return stopped
			}
			return nil
		}
		for i, f := range files {
			var in io.Reader = f
			if i == len(files)-1 && at.offset > 0 {
				in = io.LimitReader(f, at.offset)
			}
			if err := c.scan(in, keep); err != nil {
				if err != stopped {
					yield(Line{}, err)
				}
				return
			}
		}
		for _, l := range last.take() {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// tail keeps the last lines of a log, each with all its pieces.
type tail struct {
	lines  int // to keep
	pieces []Line
	ends   int // of lines among the pieces
}

func (t *tail) add(l Line) {
	t.pieces = append(t.pieces, l)
	if !l.Partial {
		t.ends++
	}
	switch {
	case t.ends > 2*t.lines+1000:
		t.pieces, t.ends = t.take(), t.lines
	case len(t.pieces) > t.ends+2*mostPieces: // a line without an end, such as a progress bar's
		t.pieces = slices.Delete(t.pieces, 0, len(t.pieces)-t.ends-mostPieces)
	}
}

// mostPieces is how many pieces of lines that have not ended are kept: 16 MiB.
const mostPieces = 1024

// take gives the pieces of the last lines. Those of the two streams may lie
// between each other.
func (t *tail) take() []Line {
	var taken []Line
	var known, ours [2]bool // of each stream: that a piece of it came later, and that the line of that piece is taken
	for n, i := 0, len(t.pieces)-1; i >= 0 && (n < t.lines || ours[0] || ours[1]); i-- {
		l := t.pieces[i]
		s := index(l.Stderr)
		if !l.Partial || !known[s] { // the end of a line, as seen from here
			ours[s] = n < t.lines
			n++
		}
		known[s] = true
		if ours[s] {
			taken = append(taken, l)
		}
	}
	slices.Reverse(taken)
	return taken
}

// inOrder gives the lines of all feeds, each of which is in the order of time,
// in that order; of each feed it holds one line at a time.
func inOrder(feeds []iter.Seq2[Line, error], emit func(Line) error) error {
	type head struct {
		line Line
		next func() (Line, error, bool)
	}
	var heads []*head
	for _, f := range feeds {
		next, stop := iter.Pull2(f)
		defer stop()
		heads = append(heads, &head{next: next})
	}
	advance := func(h *head) (ok bool, err error) {
		h.line, err, ok = h.next()
		return ok, err
	}
	for i := 0; i < len(heads); {
		switch ok, err := advance(heads[i]); {
		case err != nil:
			return err
		case !ok:
			heads = slices.Delete(heads, i, i+1)
		default:
			i++
		}
	}
	for len(heads) > 0 {
		first := 0
		for i, h := range heads {
			if h.line.Time.Before(heads[first].line.Time) {
				first = i
			}
		}
		if err := emit(heads[first].line); err != nil {
			return err
		}
		switch ok, err := advance(heads[first]); {
		case err != nil:
			return err
		case !ok:
			heads = slices.Delete(heads, first, first+1)
		}
	}
	return nil
}

// past reads the lines that are there.
func (c *container) past(opts LogOptions) ([]Line, position, error) {
	files, at, err := c.log.files()
	defer closeAll(files)
	var lines []Line
	if err != nil {
		return nil, at, err
	}
	for l, err := range c.lines(files, at, opts) {
		if err != nil {
			return lines, at, err
		}
		lines = append(lines, l)
	}
	return lines, at, nil
}

func (o *LogOptions) in(t time.Time) bool {
	return (o.Since.IsZero() || !t.Before(o.Since)) && (o.Until.IsZero() || !t.After(o.Until))
}

// follow gives each line as it is written, until the log or ctx ends.
func (c *container) follow(ctx context.Context, opts LogOptions, at position, emit func(Line) error) error {
	var f *os.File
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	wanted := func(l Line) error {
		if !opts.in(l.Time) {
			return nil
		}
		return emit(l)
	}
	var rest []byte
	for {
		grown, rotated, closed := c.log.state()
		if f == nil {
			var err error
			if f, at, err = c.log.open(at); err != nil {
				return err
			}
			rest = rest[:0]
		}
		if f != nil {
			var err error
			if rest, err = c.drain(f, rest, wanted); err != nil {
				return err
			}
		}
		if at.rotated < rotated { // this file was whole before it was read
			if f != nil {
				f.Close()
				f = nil
			}
			at = position{rotated: at.rotated + 1}
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

// drain gives the lines up to the end of the file as it is now; what is left
// of one that is not whole is for the next time.
func (c *container) drain(f *os.File, rest []byte, emit func(Line) error) ([]byte, error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		rest = append(rest, buf[:n]...)
		if i := bytes.LastIndexByte(rest, '\n'); i >= 0 {
			if err := c.scan(bytes.NewReader(rest[:i+1]), emit); err != nil {
				return rest, err
			}
			rest = append(rest[:0], rest[i+1:]...)
		}
		if errors.Is(err, io.EOF) {
			return rest, nil
		}
		if err != nil {
			return rest, err
		}
	}
}

// scan parses lines of a log. What is none, such as what a power failure
// leaves, is passed over.
func (c *container) scan(in io.Reader, each func(Line) error) error {
	r := bufio.NewReaderSize(in, 2*lineSize+128)
	tooLong, rec := false, c.snapshot()
	for {
		text, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			tooLong = true
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if l, ok := parseLine(string(bytes.TrimSuffix(text, []byte("\n")))); ok && !tooLong && err == nil {
			l.ID, l.Container, l.Service, l.Number, l.OneOff = c.id, c.name, rec.Service, rec.Number, rec.OneOff
			if err := each(l); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
		tooLong = false
	}
}

func parseLine(text string) (Line, bool) {
	stamp, rest, ok := strings.Cut(text, " ")
	if !ok {
		return Line{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, stamp)
	if err != nil || len(rest) < 9 {
		return Line{}, false
	}
	return Line{Time: at, Stderr: rest[:6] == "stderr", Partial: rest[7] == 'P', Text: []byte(rest[9:])}, true
}

// LastLines are the last lines that a container printed since its last start,
// to explain a failure.
func (r *Runner) LastLines(id string, n int) []string {
	c := r.lookup(id)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	since := c.state.StartedAt
	c.mu.Unlock()
	lines, _, err := c.past(LogOptions{Tail: n, Since: since})
	if err != nil {
		return nil
	}
	return joined(lines)
}

// joined are the texts of whole lines.
func joined(pieces []Line) []string {
	out := []string{}
	var begun [2][]byte
	for _, l := range pieces {
		part := &begun[index(l.Stderr)]
		if *part = append(*part, l.Text...); !l.Partial {
			out = append(out, string(*part))
			*part = nil
		}
	}
	for _, part := range begun { // not finished yet
		if len(part) > 0 {
			out = append(out, string(part))
		}
	}
	return out
}
