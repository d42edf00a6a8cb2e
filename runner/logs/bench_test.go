package logs

import (
	"bytes"
	"testing"
)

// BenchmarkPast reads a log of 100,000 lines.
func BenchmarkPast(b *testing.B) {
	w, _ := kept(b, Retention{Size: 100 << 20})
	w.Write(false, bytes.Repeat([]byte("a line of some eighty bytes, as a service prints them, with the number of it at end\n"), 100_000))
	for _, test := range []struct {
		name string
		list []*Log
	}{{"one", []*Log{w}}, {"two", []*Log{w, w}}} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Past(test.list, all, func(Line) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTail reads the end of it.
func BenchmarkTail(b *testing.B) {
	w, _ := kept(b, Retention{Size: 100 << 20})
	w.Write(false, bytes.Repeat([]byte("a line of some eighty bytes, as a service prints them, with the number of it at end\n"), 100_000))
	for b.Loop() {
		past(b, w, Selection{Tail: 100})
	}
}

// BenchmarkWrite keeps 1,000 lines that came together.
func BenchmarkWrite(b *testing.B) {
	w, _ := kept(b, Retention{})
	text := bytes.Repeat([]byte("a line of some eighty bytes, as a service prints them, with the number of it at end\n"), 1000)
	for b.Loop() {
		w.Write(false, text)
	}
}
