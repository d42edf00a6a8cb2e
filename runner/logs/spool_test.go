package logs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestSpoolSurvivesAnEngineThatIsKilled: wherever between pipe and log it is
// killed, the next one logs each line once, also those that were not finished.
func TestSpoolSurvivesAnEngineThatIsKilled(t *testing.T) {
	points := map[string]func(c *Log, s *Spool, read []byte){
		"after it took them from the pipe": func(*Log, *Spool, []byte) {},
		"before it wrote to the log": func(c *Log, s *Spool, read []byte) {
			s.begin(c.fileSize(), len("unfin"))
		},
		"after it wrote to the log": func(c *Log, s *Spool, read []byte) {
			s.begin(c.fileSize(), len("unfin"))
			c.Write(false, read)
		},
		"after it noted that": func(c *Log, s *Spool, read []byte) {
			c.setSpool(false, s)
			c.Write(false, read)
		},
	}
	for name, point := range points {
		t.Run(name, func(t *testing.T) {
			c, clock := logged(t)
			c.Write(false, []byte("before\n"))
			path := c.path + ".spool"
			s, err := openSpool(path, c.fileSize())
			if err != nil {
				t.Fatal(err)
			}
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			fmt.Fprint(in, "one\ntwo\nunfin")
			read, err := s.fill(out, &buffer{})
			if err != nil || string(read) != "one\ntwo\nunfin" {
				t.Fatalf("got %q, %v", read, err)
			}
			point(c, s, read)
			s.close()
			c.Close()

			c = logAt(c.path, clock)
			if s, err = openSpool(path, c.fileSize()); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(in, "ished\nlast\n")
			in.Close()
			c.Copy(Stream{Pipe: out, Spool: s, Live: true, Tee: func([]byte) {}, Detached: func() bool { return false }})
			if got, want := texts(past(t, c, all)), "before|one|two|unfinished|last"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("the spool of a stream that has ended is still there")
			}
		})
	}
}

// TestSpoolIsKeptSmall: what is logged is dropped, also when no chunk ends
// with a line.
func TestSpoolIsKeptSmall(t *testing.T) {
	c, _ := logged(t)
	path := c.path + ".spool"
	if err := os.MkdirAll(strings.TrimSuffix(path, "log.spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := openSpool(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.setSpool(false, s)
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var buf buffer
	var most int64
	for range 200 {
		fmt.Fprint(in, strings.Repeat("x", 16<<10), "\nunfinished")
		read, err := s.fill(out, &buf)
		if err != nil {
			t.Fatal(err)
		}
		c.Write(false, read)
		most = max(most, s.end)
	}
	if most > 2*spoolRewrite {
		t.Errorf("it grew to %d bytes", most)
	}
	in.Close()
	if _, err := s.fill(out, &buf); err != io.EOF {
		t.Errorf("at the end of the pipe: %v", err)
	}
	if rest, err := s.pending(); err != nil || string(rest) != "unfinished" {
		t.Errorf("pending are %q, %v", rest, err)
	}
}

// TestSilentStreamsHoldNoMemory: of a thousand containers most print nothing at any time.
func TestSilentStreamsHoldNoMemory(t *testing.T) {
	heap := func() int {
		runtime.GC()
		runtime.GC() // what lies in a pool goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	logs := make([]*Log, 200)
	for i := range logs {
		logs[i], _ = logged(t)
		if err := os.MkdirAll(filepath.Dir(logs[i].path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before := heap()
	var copies sync.WaitGroup
	var ends []*os.File
	printed := make(chan struct{}, len(logs))
	for _, c := range logs {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		s, err := openSpool(c.path+".spool", c.fileSize())
		if err != nil {
			t.Fatal(err)
		}
		copies.Go(func() {
			c.Copy(Stream{Pipe: out, Spool: s, Tee: func([]byte) { printed <- struct{}{} }, Detached: func() bool { return false }})
		})
		fmt.Fprintln(in, "hello")
		ends = append(ends, in)
	}
	for range logs {
		<-printed
	}
	if held := heap() - before; held > len(logs)*spoolChunk/2 {
		t.Errorf("%d streams that print nothing hold %d kB", len(logs), held>>10)
	}
	for _, in := range ends {
		in.Close()
	}
	copies.Wait()
}
