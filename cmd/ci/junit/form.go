package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// xmlSuite is a suite, or the root, as a document has it.
type xmlSuite struct {
	XMLName    xml.Name
	Name       string     `xml:"name,attr"`
	Time       string     `xml:"time,attr"`
	Timestamp  string     `xml:"timestamp,attr"`
	Hostname   string     `xml:"hostname,attr"`
	Properties []Property `xml:"properties>property"`
	Cases      []xmlCase  `xml:"testcase"`
	Suites     []xmlSuite `xml:"testsuite"`
	Out        string     `xml:"system-out"`
	Err        string     `xml:"system-err"`
}

type xmlCase struct {
	Name    string      `xml:"name,attr"`
	Class   string      `xml:"classname,attr"`
	Time    string      `xml:"time,attr"`
	Status  string      `xml:"status,attr"`
	Failure []xmlResult `xml:"failure"`
	Error   []xmlResult `xml:"error"`
	Skipped *xmlResult  `xml:"skipped"`
	Out     string      `xml:"system-out"`
	Err     string      `xml:"system-err"`
}

type xmlResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func (s *xmlSuite) suite() Suite {
	out := Suite{
		Name: s.Name, Time: duration(s.Time), Timestamp: moment(s.Timestamp), Hostname: s.Hostname,
		Properties: s.Properties, Out: s.Out, Err: s.Err,
	}
	for i := range s.Cases {
		out.Cases = append(out.Cases, s.Cases[i].read())
	}
	return out
}

func (c *xmlCase) read() Case {
	out := Case{Class: c.Class, Name: c.Name, Time: duration(c.Time), Out: c.Out, Err: c.Err}
	switch {
	case len(c.Error) > 0:
		out.Status = Broken
		out.take(c.Error)
	case len(c.Failure) > 0:
		out.Status = Failed
		out.take(c.Failure)
	case c.Skipped != nil:
		out.Status = Skipped
		out.take([]xmlResult{*c.Skipped})
	case c.Status == "notrun", c.Status == "disabled":
		out.Status = Skipped
	}
	return out
}

// take joins the results of a case; the first one names it.
func (c *Case) take(results []xmlResult) {
	c.Message, c.Kind = results[0].Message, results[0].Type
	var texts []string
	for _, r := range results {
		texts = append(texts, r.Text)
	}
	c.Detail = strings.Join(texts, "\n")
}

func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// charset reads the encodings that reports come in beside UTF-8.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "latin1", "windows-1252":
		return &latin{in: in}, nil
	}
	return nil, fmt.Errorf("encoding %q is not known: write UTF-8", name)
}

// latin turns ISO 8859-1 into UTF-8.
type latin struct {
	in   io.Reader
	rest []byte
}

func (l *latin) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		var buf [4096]byte
		n, err := l.in.Read(buf[:])
		for _, b := range buf[:n] {
			l.rest = append(l.rest, string(rune(b))...)
		}
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// outputReport is a document as Write writes it.
type outputReport struct {
	XMLName  xml.Name      `xml:"testsuites"`
	Name     string        `xml:"name,attr,omitempty"`
	Time     string        `xml:"time,attr"`
	Tests    int           `xml:"tests,attr"`
	Failures int           `xml:"failures,attr"`
	Errors   int           `xml:"errors,attr"`
	Skipped  int           `xml:"skipped,attr"`
	Suites   []outputSuite `xml:"testsuite"`
}

// outputSuite is a suite as Write writes it.
type outputSuite struct {
	Name       string            `xml:"name,attr"`
	Tests      int               `xml:"tests,attr"`
	Failures   int               `xml:"failures,attr"`
	Errors     int               `xml:"errors,attr"`
	Skipped    int               `xml:"skipped,attr"`
	Time       string            `xml:"time,attr"`
	Timestamp  string            `xml:"timestamp,attr,omitempty"`
	Hostname   string            `xml:"hostname,attr,omitempty"`
	Properties *outputProperties `xml:"properties"`
	Cases      []outputCase      `xml:"testcase"`
	Out        *outputText       `xml:"system-out"`
	Err        *outputText       `xml:"system-err"`
}

type outputProperties struct {
	List []Property `xml:"property"`
}

// outputCase is a case as Write writes it.
type outputCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *outputReason `xml:"skipped"`
	Error   *outputReason `xml:"error"`
	Failure *outputReason `xml:"failure"`
	Out     *outputText   `xml:"system-out"`
	Err     *outputText   `xml:"system-err"`
}

type outputReason struct {
	Message string `xml:"message,attr,omitempty"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

type outputText struct {
	Text string `xml:",chardata"`
}

func outSuite(s *Suite) outputSuite {
	n := s.Count()
	out := outputSuite{
		Name: clean(s.Name), Tests: n.Tests, Failures: n.Failures, Errors: n.Errors, Skipped: n.Skipped,
		Time: seconds(s.duration()), Hostname: clean(s.Hostname), Out: outText(s.Out), Err: outText(s.Err),
	}
	if !s.Timestamp.IsZero() {
		out.Timestamp = s.Timestamp.UTC().Format("2006-01-02T15:04:05")
	}
	if len(s.Properties) > 0 {
		out.Properties = &outputProperties{}
		for _, p := range s.Properties {
			out.Properties.List = append(out.Properties.List, Property{clean(p.Name), clean(p.Value)})
		}
	}
	for i := range s.Cases {
		out.Cases = append(out.Cases, outCase(&s.Cases[i]))
	}
	return out
}

func outCase(c *Case) outputCase {
	out := outputCase{Name: clean(c.Name), Class: clean(c.Class), Time: seconds(c.Time), Out: outText(c.Out), Err: outText(c.Err)}
	reason := &outputReason{Message: clean(c.Message), Type: clean(c.Kind), Text: clean(c.Detail)}
	switch c.Status {
	case Failed:
		out.Failure = reason
	case Broken:
		out.Error = reason
	case Skipped:
		out.Skipped = reason
	}
	return out
}

func outText(text string) *outputText {
	if text = clean(text); text == "" {
		return nil
	}
	return &outputText{text}
}
