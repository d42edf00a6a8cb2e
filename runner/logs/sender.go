package logs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Sink is where the lines of a log are sent, beside being kept.
type Sink interface {
	// Send sends a line, and says why it could not: then the line is tried again.
	Send(ctx context.Context, l *Entry) error
	// Close lets go of what Send has opened.
	Close() error
}

// Entry is a line as it is sent: whole, or a piece of one that is too long.
type Entry struct {
	Line
	Piece *Piece // nil: it is whole
}

// Piece says which piece of a line an entry is.
type Piece struct {
	Line  string // the same for all of a line
	Index int    // from 1
	Last  bool
}

// Delivery says where a log is sent.
type Delivery struct {
	Sink Sink // nil: nowhere
	Name string
	// Reach is an error when the receiver can't be reached; nil: it may come later.
	Reach func(ctx context.Context) error
	Wait  time.Duration // after the first try that fails; 0: a second. It doubles.
	Tries int           // of each line; 0: no limit
}

const (
	firstPause = time.Second
	mostPause  = 30 * time.Second
	// lastPatience is how long what is left is sent at the end of a log.
	lastPatience = 3 * time.Second
)

// Reach is an error when the lines of a log are to be sent to somebody who can't be
// reached, and who was to be there first.
func (w *Log) Reach(ctx context.Context) error {
	if w.sender == nil || w.sender.to.Reach == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return w.sender.to.Reach(ctx)
}

// sender sends what a log has, line by line, and goes by the log's files alone: they
// are what waits while the receiver is away or slow, no memory does, and nobody who
// prints. A mark beside the log says what was sent, for the next engine.
//
// All but stop and finish belong to its goroutine.
type sender struct {
	log    *Log
	to     Delivery
	tell   func() // that lines were lost; may be nil
	cancel context.CancelFunc
	ending chan struct{} // closed when the log has ended: nothing is waited for any more
	once   sync.Once
	ended  chan struct{}

	held     [2][]byte    // of a line of each stream that has not ended
	since    [2]time.Time // of its first piece; zero: none
	pieces   [2]Piece     // the next of a long line
	sent     time.Time    // of the last line
	missed   bool         // lines went that were not sent
	gaveUp   bool         // the log has ended, and the receiver is away
	isAway   bool
	warnedAt [2]time.Time // that lines are lost, that the mark can't be written
}

// unsent is what a log has to say of its receiver.
type unsent struct {
	away string // why it can't be reached
	lost string // what it will not get
}

// startSending sends the lines of a log; nil: nowhere.
func (w *Log) startSending(to Delivery, lost func()) *sender {
	if to.Sink == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &sender{log: w, to: to, tell: lost, cancel: cancel, ending: make(chan struct{}), ended: make(chan struct{})}
	// Lines to come are younger than what was sent, whatever the clock says by now.
	s.sent = readStamp(s.markPath())
	w.last = s.sent
	s.missed = s.sent.Before(readStamp(w.gonePath()))
	go s.run(ctx)
	return s
}

// stop ends it at once; the next engine goes on.
func (s *sender) stop() {
	if s == nil {
		return
	}
	s.cancel()
	<-s.ended
}

// finish sends what is left of a log that has ended, for a moment.
func (s *sender) finish() {
	if s == nil {
		return
	}
	s.once.Do(func() { close(s.ending) })
	timer := time.AfterFunc(lastPatience, s.cancel)
	defer timer.Stop()
	<-s.ended
	s.cancel()
}

func (s *sender) run(ctx context.Context) {
	defer close(s.ended)
	defer s.to.Sink.Close()
	var which Selection
	if which.Tail = -1; !s.sent.IsZero() {
		which.Since = s.sent.Add(1)
	}
	take := func(l Line) error { return s.take(ctx, l) }
	err := s.log.follow(ctx, which, Position{rotated: 1 - s.log.keep.Files}, follower{emit: take, missed: func() { s.missed = true }})
	if err != nil && ctx.Err() == nil {
		s.log.log.Warn("a container's log is not sent on: it cannot be read", "container", s.log.origin.Container, "error", err)
		return
	}
	for i := range s.held {
		if ctx.Err() == nil && len(s.held[i]) > 0 {
			_ = s.take(ctx, Line{Origin: s.log.origin, Time: s.since[i], Stderr: i == 1})
		}
	}
}

// take sends a line once all of it is there, or so much that it is sent in pieces.
func (s *sender) take(ctx context.Context, l Line) error {
	if s.missed {
		if err := s.tellMissed(ctx, l.Time); err != nil {
			return err
		}
	}
	i := Index(l.Stderr)
	if s.since[i].IsZero() {
		s.since[i] = l.Time
	}
	s.held[i] = append(s.held[i], l.Text...)
	if l.Partial && len(s.held[i]) < lineSize {
		return nil
	}
	at := l.Time
	e := Entry{Line: l, Piece: s.piece(i, l.Partial)}
	e.Text, e.Time, e.Partial = s.held[i], s.since[i], l.Partial
	if err := s.send(ctx, &e); err != nil {
		return err
	}
	s.held[i], s.since[i] = nil, time.Time{}
	s.mark(at)
	return nil
}

// piece says which piece of a long line comes next.
func (s *sender) piece(stream int, isPartial bool) *Piece {
	p := &s.pieces[stream]
	if !isPartial && p.Index == 0 {
		return nil
	}
	if p.Index == 0 {
		p.Line = fmt.Sprintf("%s-%d", s.log.origin.ID[:min(12, len(s.log.origin.ID))], s.since[stream].UnixNano())
	}
	p.Index++
	p.Last = !isPartial
	now := *p
	if p.Last {
		*p = Piece{}
	}
	return &now
}

// tellMissed tells the receiver, and who reads the log here, that lines are gone.
func (s *sender) tellMissed(ctx context.Context, until time.Time) error {
	s.missed = false
	text := fmt.Sprintf("what was printed before %s was not sent to %s: newer lines had taken its place here", until.Format(time.RFC3339), s.to.Name)
	if !s.sent.IsZero() {
		text = fmt.Sprintf("what was printed from %s to %s was not sent to %s: newer lines had taken its place here",
			s.sent.Format(time.RFC3339), until.Format(time.RFC3339), s.to.Name)
	}
	s.lost(text)
	return s.send(ctx, &Entry{Line: Line{Origin: s.log.origin, Time: until, Stderr: true, Text: []byte("orlop: " + text)}})
}

// lost notes what the receiver will not get.
func (s *sender) lost(text string) {
	if s.isDue(0) {
		s.log.log.Warn("lines of a container were not sent on", "container", s.log.origin.Container, "what", text)
	}
	s.log.toldMu.Lock()
	isFirst := s.log.unsent.lost == ""
	s.log.unsent.lost = text
	s.log.toldMu.Unlock()
	if isFirst && s.tell != nil {
		s.tell()
	}
}

// send sends one entry. It tries until the receiver has it, or may not be waited for
// any longer; only the end of ctx is an error.
func (s *sender) send(ctx context.Context, e *Entry) error {
	pause := s.to.Wait
	if pause <= 0 {
		pause = firstPause
	}
	for tries := 1; !s.gaveUp; tries++ {
		err := s.to.Sink.Send(ctx, e)
		s.noteState(err)
		if err == nil {
			return nil
		}
		if errors.Is(err, unix.EMSGSIZE) { // it never will be
			s.lost(fmt.Sprintf("a line of %d bytes was not sent to %s: it is too long for a datagram", len(e.Text), s.to.Name))
			s.noteState(nil)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ending:
			s.gaveUp = true
			s.lost(fmt.Sprintf("the last lines were not sent to %s: %v", s.to.Name, err))
			return nil
		default:
		}
		if s.to.Tries > 0 && tries >= s.to.Tries {
			s.lost(fmt.Sprintf("lines were not sent to %s after %d tries: %v", s.to.Name, tries, err))
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-s.ending:
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, mostPause)
	}
	return nil
}

// noteState notes whether the receiver is there, and says when that changes.
func (s *sender) noteState(err error) {
	if (err != nil) != s.isAway {
		s.isAway = err != nil
		if err != nil {
			s.log.log.Warn("a container's log waits to be sent", "container", s.log.origin.Container, "to", s.to.Name, "error", err)
		} else {
			s.log.log.Info("a container's log is sent again", "container", s.log.origin.Container, "to", s.to.Name)
		}
	}
	away := ""
	if err != nil {
		away = err.Error()
	}
	s.log.toldMu.Lock()
	s.log.unsent.away = away
	s.log.toldMu.Unlock()
}

// markPath is where it stands which lines were sent.
func (s *sender) markPath() string { return s.log.path + ".sent" }

// mark notes that the lines up to a time were sent, but for those that are held.
func (s *sender) mark(at time.Time) {
	for _, since := range s.since {
		if !since.IsZero() && !since.After(at) {
			at = since.Add(-1)
		}
	}
	s.sent = at
	err := writeStamp(s.markPath(), at)
	if err != nil && s.isDue(1) { // after a crash lines are sent twice
		s.log.log.Warn("cannot note which lines of a container were sent on", "container", s.log.origin.Container, "error", err)
	}
}

// isDue says that a warning may be said again.
func (s *sender) isDue(which int) bool {
	if last := s.warnedAt[which]; !last.IsZero() && time.Since(last) < warnAfter {
		return false
	}
	s.warnedAt[which] = time.Now()
	return true
}

// Unsent is what the receiver of the log will not get, in words; "" is nothing. No log
// has lost nothing.
func (w *Log) Unsent() string {
	if w == nil {
		return ""
	}
	w.toldMu.Lock()
	defer w.toldMu.Unlock()
	return w.unsent.lost
}

// notices tell a reader what he does not see, and what others don't.
func (w *Log) notices() []Line {
	w.toldMu.Lock()
	told := w.unsent
	w.toldMu.Unlock()
	var lines []Line
	add := func(text string) {
		lines = append(lines, Line{Origin: w.origin, Time: w.now(), Stderr: true, Text: []byte("orlop: " + text)})
	}
	switch {
	case w.keep.None:
		add("what it prints is not kept: its logging driver is none")
	case w.keep.Hidden:
		add("what it prints is not kept here: cache-disabled is set")
	}
	if told.lost != "" {
		add(told.lost)
	}
	if told.away != "" {
		add(fmt.Sprintf("newer lines wait to be sent to %s: %s", w.sender.to.Name, told.away))
	}
	return lines
}
