package exec

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/runner/exec/job"
)

// linked is a link to a helper that does what serve says with each request.
func linked(t *testing.T, serve func(q *job.Request, answer func(*job.Answer))) *link {
	t.Helper()
	mine, its := net.Pipe()
	l := newLink(mine)
	go l.listen()
	t.Cleanup(func() { mine.Close(); its.Close() })
	go func() {
		requests, answers := json.NewDecoder(its), json.NewEncoder(its)
		for {
			q := &job.Request{}
			if requests.Decode(q) != nil {
				return
			}
			serve(q, func(a *job.Answer) { _ = answers.Encode(a) })
		}
	}()
	return l
}

// TestRequestsAndAnswersDoNotWaitForEachOther: neither side holds anything over the socket that the other needs to read.
func TestRequestsAndAnswersDoNotWaitForEachOther(t *testing.T) {
	l := linked(t, func(q *job.Request, answer func(*job.Answer)) { answer(&job.Answer{ID: q.ID, Code: int(q.ID)}) })
	var all sync.WaitGroup
	for id := range uint64(500) {
		all.Go(func() {
			a, err := l.ask(t.Context(), &job.Request{ID: id})
			if err != nil || a.Code != int(id) {
				t.Errorf("job %d: %v, %v", id, a, err)
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("they wait for each other")
	}
}

// TestWhoGivesUpWaitsForTheEnd: a container that is paused must have no process half-way into it.
func TestWhoGivesUpWaitsForTheEnd(t *testing.T) {
	ended := false
	began := make(chan struct{})
	l := linked(t, func(q *job.Request, answer func(*job.Answer)) {
		if !q.Cancel {
			close(began)
			return
		}
		ended = true
		answer(&job.Answer{ID: q.ID})
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := l.ask(ctx, &job.Request{ID: 1}); !errors.Is(err, context.Canceled) || !ended {
		t.Errorf("it returns with %v, the process has ended: %t", err, ended)
	}
}

func TestALostHelperIsToldOf(t *testing.T) {
	asked := make(chan struct{})
	l := linked(t, func(*job.Request, func(*job.Answer)) { close(asked) })
	got := make(chan error, 1)
	go func() { _, err := l.ask(t.Context(), &job.Request{ID: 1}); got <- err }()
	<-asked
	l.conn.Close()
	if err := <-got; !errors.Is(err, errLost) {
		t.Errorf("under way: %v", err)
	}
	if _, err := l.ask(t.Context(), &job.Request{ID: 2}); !errors.Is(err, errLost) {
		t.Errorf("afterwards: %v", err)
	}
}
