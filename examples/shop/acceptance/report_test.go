package acceptance

import (
	"encoding/xml"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// results are the ends of all tests, for a JUnit report.
var results report

// report is a JUnit suite.
type report struct {
	XMLName xml.Name `xml:"testsuite"`
	Name    string   `xml:"name,attr"`
	Cases   []result `xml:"testcase"`

	mu sync.Mutex // guards Cases
}

type result struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Seconds string   `xml:"time,attr"`
	Failure *message `xml:"failure"`
	Skipped *message `xml:"skipped"`
}

type message struct {
	Text string `xml:"message,attr"`
}

// follow notes how a test ends.
func (r *report) follow(t *testing.T) {
	began := time.Now()
	t.Cleanup(func() {
		one := result{Class: "acceptance", Name: t.Name(), Seconds: fmt.Sprintf("%.3f", time.Since(began).Seconds())}
		switch {
		case t.Failed():
			one.Failure = &message{"the test's output says why"}
		case t.Skipped():
			one.Skipped = &message{"there is no shop"}
		}
		r.mu.Lock()
		r.Cases = append(r.Cases, one)
		r.mu.Unlock()
	})
}

// write writes the report, unless no file is named.
func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	r.Name = "shop"
	text, err := xml.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
