// Package loglines sends what containers printed to who asked for it: many lines in a
// message, or one for who knows no others. It reads no log.
package loglines

import (
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec/secret"
)

const (
	// fullAt is how many bytes of text a message has at most, but for its last line's.
	fullAt = 64 << 10
	// mostWait is how long a line waits for others.
	mostWait = 10 * time.Millisecond
	// looksAt is after how many lines the clock is looked at: it takes as long as all else that is done
	// with a line. Who reads sends what waits when there are no more.
	looksAt = 16
)

// Sender sends lines to one caller. It belongs to one goroutine at a time.
type Sender struct {
	Mask    *secret.Mask // nil hides nothing
	Batched bool
	To      func(*api.LogLine) error // keeps nothing of it

	batch  *api.LogBatch     // what waits, or nil
	places map[string]uint32 // container ID -> its place in the batch
	last   string            // container ID of the last line
	place  uint32            // of that container
	begun  time.Time         // when the first line of the batch came
}

// Line sends a line, or keeps it until there are enough. It keeps no part of its text.
func (s *Sender) Line(l logs.Line) error {
	text := s.Mask.Bytes(l.Text)
	if !s.Batched {
		one := container(&l)
		one.TimeUnixNs, one.Stderr, one.Partial, one.Text = l.Time.UnixNano(), l.Stderr, l.Partial, text
		return s.To(one)
	}
	if s.batch == nil {
		s.batch = &api.LogBatch{}
	}
	b := s.batch
	if len(b.Kinds) == 0 {
		s.begun = time.Now()
	}
	kind := s.placeOf(&l) << 2
	if l.Stderr {
		kind |= 2
	}
	if l.Partial {
		kind |= 1
	}
	b.Kinds = append(b.Kinds, kind)
	b.Lengths = append(b.Lengths, uint32(len(text)))
	b.TimesUnixNs = append(b.TimesUnixNs, l.Time.UnixNano())
	b.Text = append(b.Text, text...)
	if len(b.Text)+8*len(b.Kinds) >= fullAt || len(b.Kinds)%looksAt == 0 && time.Since(s.begun) >= mostWait {
		return s.Flush()
	}
	return nil
}

// placeOf is the place of a line's container in the batch.
func (s *Sender) placeOf(l *logs.Line) uint32 {
	if len(s.batch.Containers) > 0 && s.last == l.ID {
		return s.place
	}
	place, ok := s.places[l.ID]
	if !ok {
		if s.places == nil {
			s.places = map[string]uint32{}
		}
		place = uint32(len(s.batch.Containers))
		s.places[l.ID] = place
		s.batch.Containers = append(s.batch.Containers, container(l))
	}
	s.last, s.place = l.ID, place
	return place
}

// container is what is the same for all lines of a container.
func container(l *logs.Line) *api.LogLine {
	return &api.LogLine{Container: l.Container, ContainerId: l.ID, Service: l.Service, Number: int32(l.Number), OneOff: l.OneOff}
}

// Flush sends what waits.
func (s *Sender) Flush() error {
	b := s.batch
	if b == nil || len(b.Kinds) == 0 {
		return nil
	}
	err := s.To(&api.LogLine{Batch: b})
	if len(b.Text) < fullAt/2 { // no flood needs it again
		s.batch = nil
	} else {
		clear(b.Containers)
		b.Containers, b.Text, b.Lengths, b.Kinds, b.TimesUnixNs = b.Containers[:0], b.Text[:0], b.Lengths[:0], b.Kinds[:0], b.TimesUnixNs[:0]
	}
	clear(s.places)
	return err
}
