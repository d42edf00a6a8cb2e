package loglines

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec/secret"
)

// at is a line of a container at a moment.
func at(id string, ns int64, text string) logs.Line {
	return logs.Line{Origin: logs.Origin{ID: id, Container: "shop-" + id, Service: id, Number: 1}, Time: time.Unix(0, ns), Text: []byte(text)}
}

// TestABatchHasTheLinesInTheirOrder, whatever containers and streams they are of, and the
// text that each had when it came.
func TestABatchHasTheLinesInTheirOrder(t *testing.T) {
	var sent []*api.LogLine
	var mask secret.Mask
	mask.Add([]byte("hunter2hunter2"))
	s := Sender{Batched: true, Mask: &mask, To: func(l *api.LogLine) error { sent = append(sent, proto.Clone(l).(*api.LogLine)); return nil }}
	long := at("db", 2, "a hunter2hunter2 b")
	long.Stderr, long.Partial = true, true
	shared := []byte("one")
	first := at("web", 1, "")
	first.Text = shared
	for _, l := range []logs.Line{first, long, at("web", 3, ""), at("db", 4, "end")} {
		if err := s.Line(l); err != nil {
			t.Fatal(err)
		}
		copy(shared, "XXX")
	}
	if len(sent) != 0 {
		t.Errorf("%d messages were sent at once", len(sent))
	}
	for range 2 {
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if len(sent) != 1 {
		t.Fatalf("%d messages were sent, want one", len(sent))
	}
	b := sent[0].Batch
	masked := string(s.Mask.Bytes(long.Text))
	if want := "one" + masked + "end"; string(b.Text) != want || strings.Contains(want, "hunter") {
		t.Errorf("the text is %q, want %q", b.Text, want)
	}
	if len(b.Containers) != 2 || b.Containers[1].ContainerId != "db" || b.Kinds[0] != 0 || b.Kinds[1] != 7 || b.Kinds[3] != 4 || b.TimesUnixNs[3] != 4 {
		t.Errorf("the batch is %v", b)
	}
}

// TestAFullBatchIsSent before anybody asks for it, and so is each line for who knows no
// batches; an error of the caller ends it.
func TestAFullBatchIsSent(t *testing.T) {
	text := strings.Repeat("x", 1000)
	for _, batched := range []bool{true, false} {
		sent := 0
		s := Sender{Batched: batched, To: func(*api.LogLine) error { sent++; return nil }}
		for i := range 100 {
			if err := s.Line(at("web", int64(i), text)); err != nil {
				t.Fatal(err)
			}
		}
		if batched && (sent == 0 || sent > 90) || !batched && sent != 100 {
			t.Errorf("batched %v: %d messages", batched, sent)
		}
	}
	gone := errors.New("gone")
	s := Sender{Batched: true, To: func(*api.LogLine) error { return gone }}
	_ = s.Line(at("web", 1, "x"))
	if err := s.Flush(); err != gone {
		t.Errorf("the error is %v", err)
	}
}

// BenchmarkSender sends 100,000 lines.
func BenchmarkSender(b *testing.B) {
	l := at("web", 1, strings.Repeat("x", 80))
	var buf []byte
	s := Sender{Batched: true, To: func(l *api.LogLine) (err error) {
		buf, err = proto.MarshalOptions{}.MarshalAppend(buf[:0], l)
		return err
	}}
	for b.Loop() {
		for range 100_000 {
			if err := s.Line(l); err != nil {
				b.Fatal(err)
			}
		}
	}
}
