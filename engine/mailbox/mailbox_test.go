package mailbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// reader is a caller that takes nothing before it is let go.
type reader struct {
	begun chan struct{} // gets a value when something is offered
	goOn  chan struct{}
	got   []string
	lines int
}

func newReader() *reader { return &reader{begun: make(chan struct{}, 1), goOn: make(chan struct{})} }

func (r *reader) send(p *api.Progress) error {
	select {
	case r.begun <- struct{}{}:
	default:
	}
	<-r.goOn
	switch of := p.Of.(type) {
	case *api.Progress_Event:
		e := of.Event.Planner()
		r.lines += len(e.Lines)
		text := e.Text
		if len(e.Lines) > 0 {
			text = e.Lines[0]
		}
		r.got = append(r.got, e.Step+" "+string(e.Kind)+" "+text)
	case *api.Progress_Notice:
		r.got = append(r.got, of.Notice)
	case *api.Progress_Verdict:
		r.got = append(r.got, "verdict")
	}
	return nil
}

// TestAReaderThatStandsStillKeepsNobodyUp: all is put in while nothing is read;
// of what was said meanwhile it gets the latest, and all that counts.
func TestAReaderThatStandsStillKeepsNobodyUp(t *testing.T) {
	r := newReader()
	served := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(r.send, func(m *Box) error {
			m.Notice("first")
			<-r.begun // it is taken, and stands
			m.Tell(planner.Event{Step: "build a", Kind: planner.Started})
			for i := range 40_000 {
				m.Tell(planner.Event{Step: "build a", Kind: planner.Progressed, Text: fmt.Sprintf("[%d/40000]", i)})
				m.Tell(planner.Event{Step: "build a", Kind: planner.Progressed, Lines: []string{fmt.Sprint("line ", i)}})
			}
			m.Tell(planner.Event{Step: "build b", Kind: planner.Progressed, Lines: []string{"one"}})
			m.Tell(planner.Event{Step: "build a", Kind: planner.Progressed, Part: &planner.Part{Name: "RUN"}, Text: "part"})
			m.Tell(planner.Event{Step: "build a", Kind: planner.Failed, Text: "exit code 1"})
			m.Notice("last")
			m.Put(&api.Progress{Of: &api.Progress_Verdict{Verdict: &api.Verdict{}}})
			close(served)
			return nil
		})
	}()
	<-served // although nothing was read
	close(r.goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		"first": true, "build a started ": true, "build a progress [39999/40000]": true, "build a progress line 39999": true,
		"build b progress one": true, "build a progress part": true, "build a failed exit code 1": true, "last": true, "verdict": true,
	}
	marks := 0
	for _, line := range r.got {
		delete(want, line)
		if strings.Contains(line, "lines left out") {
			marks++
		}
	}
	if len(want) > 0 {
		t.Errorf("it was never told of %v", want)
	}
	if r.got[0] != "first" || r.got[len(r.got)-1] != "verdict" {
		t.Errorf("it begins with %q and ends with %q", r.got[0], r.got[len(r.got)-1])
	}
	if r.lines > mostLines+3 || r.lines < mostLines/2 || marks != 1 {
		t.Errorf("%d lines came, with %d marks", r.lines, marks)
	}
}

// TestAReaderThatIsThereGetsAll: nothing is left out for one that reads.
func TestAReaderThatIsThereGetsAll(t *testing.T) {
	r := newReader()
	close(r.goOn)
	err := Serve(r.send, func(m *Box) error {
		for i := range mostLines {
			m.Tell(planner.Event{Step: "a", Kind: planner.Progressed, Lines: []string{fmt.Sprint(i)}})
		}
		return errors.New("ended badly")
	})
	if err == nil || err.Error() != "ended badly" || r.lines != mostLines {
		t.Errorf("%d lines, %v", r.lines, err)
	}
}

// TestACallerThatIsGoneEndsItsMailbox: what comes after that is dropped.
func TestACallerThatIsGoneEndsItsMailbox(t *testing.T) {
	gone := errors.New("gone")
	err := Serve(func(*api.Progress) error { return gone }, func(m *Box) error {
		for range 100_000 {
			m.Notice("x")
		}
		return nil
	})
	if !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
}

// TestOneLargeOutputIsCut: its end comes, with a mark.
func TestOneLargeOutputIsCut(t *testing.T) {
	r := newReader()
	served, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Serve(r.send, func(m *Box) error {
			m.Notice("first")
			<-r.begun
			lines := make([]string, 2*mostLines)
			for i := range lines {
				lines[i] = fmt.Sprint(i)
			}
			m.Tell(planner.Event{Step: "a", Kind: planner.Progressed, Lines: lines})
			close(served)
			return nil
		})
	}()
	<-served
	close(r.goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(r.got) != 2 || !strings.Contains(r.got[1], fmt.Sprint(2*mostLines-mostLines/2)+" lines left out") || r.lines != mostLines/2+1 {
		t.Errorf("%d lines came: %q", r.lines, r.got)
	}
}
