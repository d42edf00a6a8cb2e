package junit_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/ci/junit"
)

// reports are what runners write, each in its own way.
func reports() map[string]string {
	return map[string]string{
		"gotestsum": `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0" time="0.5"><testsuite tests="2" failures="1" time="0.500000" name="shop" timestamp="2026-11-21T12:00:00Z">
<properties><property name="go.version" value="1.26"></property></properties>
<testcase classname="shop" name="TestOne" time="0.2"></testcase>
<testcase classname="shop" name="TestTwo" time="0.3"><failure message="Failed" type="">x.go:1: 1 &lt; 2</failure></testcase></testsuite></testsuites>`,
		"pytest": `<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="0" skipped="1" tests="2" time="1,234.5" hostname="h">
<testcase classname="t" name="a" time="0.1"><error message="boom">trace</error><system-out><![CDATA[said]]></system-out></testcase>
<testcase classname="t" name="b" time="0"><skipped type="pytest.skip" message="no db"/></testcase></testsuite></testsuites>`,
		"nested": `<testsuites><testsuite name="outer"><testsuite name="inner"><testcase name="c" status="notrun"/></testsuite></testsuite></testsuites>`,
		"bare":   `<testsuite name="only" tests="1"><testcase name="c" classname="k" time="-1"><failure>one</failure><failure>two</failure></testcase></testsuite>`,
		"latin":  "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><testsuite name=\"caf\xe9\"><testcase name=\"x\" time=\"NaN\"/></testsuite>",
	}
}

func read(t *testing.T, text string) *junit.Report {
	t.Helper()
	r, err := junit.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReadTakesWhatRunnersWrite(t *testing.T) {
	r := &junit.Report{}
	for _, name := range []string{"gotestsum", "pytest", "nested", "bare", "latin"} {
		r.Merge(name, read(t, reports()[name]))
	}
	if n := r.Count(); n != (junit.Counts{Tests: 7, Failures: 2, Errors: 1, Skipped: 2}) {
		t.Errorf("counts are %+v", n)
	}
	var names []string
	for _, s := range r.Suites {
		names = append(names, s.Name)
	}
	if got, want := strings.Join(names, ", "), "gotestsum: shop, pytest: pytest, nested: inner, bare: only, latin: café"; got != want {
		t.Errorf("suites are %s, want %s", got, want)
	}
	if two := r.Suites[0].Cases[1]; two.Status != junit.Failed || two.Detail != "x.go:1: 1 < 2" || two.Time != 300*time.Millisecond {
		t.Errorf("the failure is %+v", two)
	}
	if s := r.Suites[1]; s.Time != 1234500*time.Millisecond || s.Cases[0].Out != "said" || s.Cases[1].Message != "no db" {
		t.Errorf("pytest's is %+v", s)
	}
	if c := r.Suites[3].Cases[0]; c.Detail != "one\ntwo" || c.Time != 0 {
		t.Errorf("two failures are %+v", c)
	}
}

func TestReadRefuses(t *testing.T) {
	deep := strings.Repeat("<testsuite>", 100) + strings.Repeat("</testsuite>", 100)
	for text, want := range map[string]string{
		"": "empty", "plain": "empty", "<html/>": "<html>", "<testsuite>": "not XML", deep: "nested",
		`<?xml version="1.0" encoding="KOI8"?><testsuite/>`: "KOI8",
	} {
		if _, err := junit.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// whole is a report with all that one can have, and what XML can't hold.
func whole(t *testing.T) *junit.Report {
	r := &junit.Report{Name: "all \x1b[31m"}
	for name, text := range reports() {
		r.Merge(name, read(t, text))
	}
	r.Suites = append(r.Suites, junit.Suite{Name: "own", Timestamp: time.Unix(1e9, 0), Out: "bell \a ]]> <b>", Cases: []junit.Case{
		{Class: "c", Name: "n\x00\ufffe", Status: junit.Broken, Message: "m\n\"", Kind: "k", Detail: "\xff\xfe bad", Err: "e"},
	}})
	return r
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	r := whole(t)
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	again := read(t, b.String())
	if got, want := again.Count(), r.Count(); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
	var c bytes.Buffer
	if err := again.Write(&c); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.Replace(b.Bytes(), []byte(` name="all [31m"`), nil, 1), bytes.Replace(c.Bytes(), []byte(` name="all [31m"`), nil, 1)) {
		t.Errorf("written again it is\n%s\nwas\n%s", c.String(), b.String())
	}
}

// valid asks xmllint, which make deps installs.
func valid(t *testing.T, doc []byte) error {
	t.Helper()
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		if os.Getenv("ORLOP_E2E") != "" {
			t.Fatal("xmllint is missing: run \"make deps\"")
		}
		t.Skip("SKIPPED: needs xmllint")
	}
	path := filepath.Join(t.TempDir(), "junit.xml")
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(lint, "--noout", "--schema", "testdata/junit.xsd", path).CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return err
}

func TestWhatIsWrittenKeepsTheSchema(t *testing.T) {
	var b bytes.Buffer
	if err := whole(t).Write(&b); err != nil {
		t.Fatal(err)
	}
	if valid(t, b.Bytes()) != nil {
		t.Errorf("it is not valid:\n%s", b.String())
	}
	if valid(t, bytes.Replace(b.Bytes(), []byte("<testcase "), []byte("<testcase odd=\"1\" "), 1)) == nil {
		t.Error("the schema takes anything")
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range reports() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := junit.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := junit.Read(&b)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if again.Count() != r.Count() {
			t.Errorf("counts are %+v, were %+v", again.Count(), r.Count())
		}
	})
}

func TestTheTimeOfAReportIsThatOfItsRun(t *testing.T) {
	r := &junit.Report{Suites: []junit.Suite{{Name: "a", Time: 3 * time.Second}, {Name: "b", Time: 4 * time.Second}}}
	for run, want := range map[time.Duration]string{0: `time="7.000"`, 5 * time.Second: `time="5.000"`} {
		r.Time = run
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		if whole, _, _ := strings.Cut(b.String(), "<testsuite "); !strings.Contains(whole, want) {
			t.Errorf("a run of %v: %s", run, whole)
		}
	}
}
