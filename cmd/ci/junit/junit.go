// Package junit reads, merges and writes JUnit XML, the reports that CI
// systems read. It takes what common runners write, also where these differ,
// and writes the one form that cmd/ci/junit/testdata/junit.xsd describes. It knows
// nothing of stacks or services.
package junit

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is a document: the suites of one or more runs.
type Report struct {
	Name   string
	Time   time.Duration // 0: the sum of its suites
	Suites []Suite
}

// Suite is a group of cases that ran together.
type Suite struct {
	Name       string
	Time       time.Duration // 0: the sum of its cases
	Timestamp  time.Time     // zero: unknown
	Hostname   string
	Properties []Property
	Cases      []Case
	Out, Err   string
}

// Property is a setting that a suite ran with.
type Property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// Status is how a case ended.
type Status uint8

// The ends of a case: a failure is what the test asserts, an error anything
// else that kept it from passing.
const (
	Passed Status = iota
	Failed
	Broken // <error>
	Skipped
)

// Case is one test.
type Case struct {
	Class, Name string
	Time        time.Duration
	Status      Status
	Message     string // of what did not pass, in a line
	Kind        string // type attribute of failure or error
	Detail      string // text of failure, error or skipped
	Out, Err    string
}

// Counts are numbers of cases.
type Counts struct{ Tests, Failures, Errors, Skipped int }

// Count counts the cases of a suite.
func (s *Suite) Count() Counts {
	n := Counts{Tests: len(s.Cases)}
	for i := range s.Cases {
		switch s.Cases[i].Status {
		case Failed:
			n.Failures++
		case Broken:
			n.Errors++
		case Skipped:
			n.Skipped++
		}
	}
	return n
}

// Count counts the cases of all suites.
func (r *Report) Count() Counts {
	var n Counts
	for i := range r.Suites {
		c := r.Suites[i].Count()
		n.Tests, n.Failures, n.Errors, n.Skipped = n.Tests+c.Tests, n.Failures+c.Failures, n.Errors+c.Errors, n.Skipped+c.Skipped
	}
	return n
}

// deepest bounds how suites may be nested in a document.
const deepest = 20

// Read reads a document whose root is <testsuites> or <testsuite>. Suites
// inside of suites come out in a row.
func Read(r io.Reader) (*Report, error) {
	dec := xml.NewDecoder(r)
	dec.CharsetReader = charset
	var root xmlSuite
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, fmt.Errorf("it is not XML: %w", err)
	}
	report := &Report{}
	switch root.XMLName.Local {
	case "testsuites":
		report.Name = root.Name
	case "testsuite":
	default:
		return nil, fmt.Errorf("its root is <%s>, not <testsuites> or <testsuite>", root.XMLName.Local)
	}
	return report, report.take(&root, 0)
}

// take adds the suite and those inside of it.
func (r *Report) take(s *xmlSuite, depth int) error {
	if depth > deepest {
		return fmt.Errorf("its suites are nested more than %d deep", deepest)
	}
	if len(s.Cases) > 0 || s.XMLName.Local == "testsuite" && len(s.Suites) == 0 {
		r.Suites = append(r.Suites, s.suite())
	}
	for i := range s.Suites {
		if err := r.take(&s.Suites[i], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Merge puts the suites of others after those of r, each behind a prefix that
// tells where it came from.
func (r *Report) Merge(prefix string, other *Report) {
	for _, s := range other.Suites {
		if prefix != "" {
			s.Name = strings.TrimSuffix(prefix+": "+s.Name, ": ")
		}
		r.Suites = append(r.Suites, s)
	}
}

// Write writes the document.
func (r *Report) Write(w io.Writer) error {
	n := r.Count()
	out := outputReport{Name: clean(r.Name), Tests: n.Tests, Failures: n.Failures, Errors: n.Errors, Skipped: n.Skipped}
	var whole time.Duration
	for i := range r.Suites {
		s := outSuite(&r.Suites[i])
		whole += r.Suites[i].duration()
		out.Suites = append(out.Suites, s)
	}
	if r.Time > 0 {
		whole = r.Time // suites may run beside each other, and not all time is a suite's
	}
	out.Time = seconds(whole)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *Suite) duration() time.Duration {
	if s.Time > 0 {
		return s.Time
	}
	var sum time.Duration
	for i := range s.Cases {
		sum += s.Cases[i].Time
	}
	return sum
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// duration reads seconds as runners write them: "1.5", "1,234.5", "".
func duration(text string) time.Duration {
	f, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(text), ",", ""), 64)
	const longest = float64(1 << 62)
	if f *= float64(time.Second); err != nil || f < 0 || f > longest || f != f {
		return 0
	}
	return time.Duration(f)
}

// clean drops what XML can't hold.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r < ' ' && r != '\n' && r != '\t', r >= 0xD800 && r <= 0xDFFF, r == 0xFFFE, r == 0xFFFF:
			return -1
		}
		return r
	}, text)
}
