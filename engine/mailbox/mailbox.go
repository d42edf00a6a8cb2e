// Package mailbox stands between who does something and who is told of it, so that a slow
// reader keeps nobody up.
package mailbox

import (
	"fmt"
	"slices"
	"sync"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// Box holds what a caller is to be told until it has taken it, so that one
// that stands still keeps nobody up: putting something in never waits. Where
// the caller is slow, it gets the latest state of a step in place of each, and
// the last lines of a build's output with a mark where others were left out.
// Plans, outcomes, notices and the verdict are never left out.
type Box struct {
	send func(*api.Progress) error

	mu     sync.Mutex
	queue  []*letter          // guarded by mu: not taken yet, in order
	states map[string]*letter // guarded by mu: step -> its latest state, if that is not taken yet
	lines  map[string]int     // guarded by mu: step -> lines of output among the letters
	closed bool               // guarded by mu
	err    error              // guarded by mu: the caller is gone
	more   chan struct{}      // something is new
	over   chan struct{}      // closed when all is sent
}

// letter is one message; an event is encoded when it is sent.
type letter struct {
	message *api.Progress
	event   *planner.Event
	left    int // lines before it that were left out
}

// mostLines is how many lines of a step's output wait at most.
const mostLines = 2000

// New is a box whose letters go to send, until Close.
func New(send func(*api.Progress) error) *Box {
	m := &Box{
		send: send, states: map[string]*letter{}, lines: map[string]int{},
		more: make(chan struct{}, 1), over: make(chan struct{}),
	}
	go m.deliver()
	return m
}

// Serve serves a call through a mailbox. What serve holds it has given back
// before the caller has taken the last of it.
func Serve(send func(*api.Progress) error, serve func(m *Box) error) error {
	m := New(send)
	err := serve(m)
	if lost := m.Close(); err == nil {
		err = lost
	}
	return err
}

// Put adds a message.
func (m *Box) Put(p *api.Progress) { m.add(&letter{message: p}) }

// Notice adds a word about others who change the project.
func (m *Box) Notice(text string) {
	m.Put(&api.Progress{Of: &api.Progress_Notice{Notice: text}})
}

// Tell adds an event.
func (m *Box) Tell(e planner.Event) { m.add(&letter{event: &e}) }

func (m *Box) add(l *letter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	e := l.event
	switch {
	case e == nil || e.Kind != planner.Progressed || e.Part != nil:
		m.queue = append(m.queue, l)
	case len(e.Lines) > 0:
		m.queue = append(m.queue, l)
		if m.lines[e.Step] += len(e.Lines); m.lines[e.Step] > mostLines {
			m.thin(e.Step)
		}
	case m.states[e.Step] != nil:
		m.states[e.Step].event = e
	default:
		m.queue = append(m.queue, l)
		m.states[e.Step] = l
	}
	select {
	case m.more <- struct{}{}:
	default:
	}
}

// thin leaves the older half of a step's lines out. The caller holds mu.
func (m *Box) thin(step string) {
	left := 0
	isOutput := func(l *letter) bool {
		e := l.event
		return e != nil && e.Step == step && e.Kind == planner.Progressed && len(e.Lines) > 0
	}
	last := m.queue[len(m.queue)-1] // the one that was just added
	m.queue = slices.DeleteFunc(m.queue, func(l *letter) bool {
		if !isOutput(l) {
			return false
		}
		if over := m.lines[step] - mostLines/2; l == last && over > 0 {
			cut := *l.event
			cut.Lines = cut.Lines[over:]
			l.event, m.lines[step], left = &cut, m.lines[step]-over, left+over
		} else if over > 0 {
			m.lines[step] -= len(l.event.Lines)
			left += len(l.event.Lines) + l.left
			return true
		}
		l.left += left
		left = 0
		return false
	})
}

// deliver sends one letter after the other until the box is closed and empty.
func (m *Box) deliver() {
	defer close(m.over)
	for {
		l, ok := m.next()
		if !ok {
			return
		}
		if l == nil {
			<-m.more
			continue
		}
		if err := m.send(l.encode()); err != nil {
			m.mu.Lock()
			m.err, m.queue = err, nil
			m.mu.Unlock()
			return
		}
	}
}

// next takes a letter out, or gives none where there is none yet. It is false
// when there is none to come.
func (m *Box) next() (*letter, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 {
		return nil, !m.closed
	}
	l := m.queue[0]
	m.queue = m.queue[1:]
	if e := l.event; e != nil {
		if m.states[e.Step] == l {
			delete(m.states, e.Step)
		}
		if e.Kind == planner.Progressed {
			m.lines[e.Step] -= len(e.Lines)
		}
	}
	return l, true
}

func (l *letter) encode() *api.Progress {
	if l.event == nil {
		return l.message
	}
	e := *l.event
	if l.left > 0 {
		e.Lines = append([]string{fmt.Sprintf("... %d lines left out: they came faster than they were read", l.left)}, e.Lines...)
	}
	return &api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(e)}}
}

// Close waits until all is sent. The error says that the caller is gone.
func (m *Box) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	select {
	case m.more <- struct{}{}:
	default:
	}
	<-m.over
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}
