package sink

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/logtag"
)

func info() *logtag.Info {
	return &logtag.Info{
		Config: map[string]string{"labels": "tier", "env-regex": "^APP_"}, ContainerID: "0123456789abcdef0123", ContainerName: "/p-web-1", ContainerImageName: "busybox",
		ContainerLabels: map[string]string{"tier": "front", "other": "x"}, ContainerEnv: []string{"APP_ENV=test", "PATH=/bin"}, Host: "mymachine.example.com",
	}
}

func entry(text string, stderr bool) *logs.Entry {
	return &logs.Entry{Line: logs.Line{Time: time.Date(2003, 10, 11, 22, 14, 15, 3_000_000, time.UTC), Stderr: stderr, Text: []byte(text)}}
}

// The frames of RFC 3164 and RFC 5424, with the priority of their examples: local4.notice
// has no counterpart here, so the facility is given and the severity is the stream's.
func TestSyslogMessages(t *testing.T) {
	t.Setenv("TZ", "UTC")
	time.Local = time.UTC
	for _, c := range []struct {
		format, facility string
		stderr           bool
		want             string
	}{
		{"", "", false, "<30>Oct 11 22:14:15 web[7]: it's \xff time\n"},
		{"rfc3164", "auth", true, "<35>Oct 11 22:14:15 mymachine.example.com web[7]: it's \xff time\n"},
		{"rfc5424", "local4", false, "<166>1 2003-10-11T22:14:15Z mymachine.example.com web 7 web - it's \xff time\n"},
		{"rfc5424micro", "23", true, "<187>1 2003-10-11T22:14:15.003000Z mymachine.example.com web 7 web - it's \xff time\n"},
	} {
		l := &spec.Logging{Driver: "syslog", Options: map[string]string{
			"syslog-address": "udp://127.0.0.1", "syslog-format": c.format, "syslog-facility": c.facility, "tag": "web"}}
		d, err := newSyslog(l, info())
		if err != nil {
			t.Fatal(err)
		}
		s := d.Sink.(*syslog)
		s.pid = 7
		if got := string(s.message(entry("it's \xff time", c.stderr))); got != c.want {
			t.Errorf("%s: %q, want %q", c.format, got, c.want)
		}
		if s.wire.address != "127.0.0.1:514" {
			t.Errorf("address %s", s.wire.address)
		}
	}
}

// RFC 5425, 4.3.1: over TLS each message has its length before it.
func TestSyslogOverTLSHasLengths(t *testing.T) {
	d, err := newSyslog(&spec.Logging{Driver: "syslog", Options: map[string]string{
		"syslog-address": "tcp+tls://log.example:6514", "syslog-format": "rfc5424", "tag": "web"}}, info())
	if err != nil {
		t.Fatal(err)
	}
	got := string(d.Sink.(*syslog).message(entry("x", false)))
	count, rest, _ := strings.Cut(got, " ")
	if want := len(rest); count == "" || count != itoa(want) {
		t.Errorf("%q: counts %s, has %d", got, count, want)
	}
}

func itoa(n int) string {
	return regexp.MustCompile(`\D`).ReplaceAllString(time.Duration(n).String(), "")
}

// The native protocol of the journal: a value with a newline has its length before it.
func TestJournalMessages(t *testing.T) {
	d, err := newJournald(&spec.Logging{Driver: "journald", Options: map[string]string{"tag": "{{.Name}}"}}, info(), "/none")
	if err != nil {
		t.Fatal(err)
	}
	got := string(d.Sink.(*journald).message(entry("a\nb", true)))
	for _, want := range []string{
		"MESSAGE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n", "PRIORITY=3\n", "CONTAINER_ID=0123456789ab\n", "CONTAINER_ID_FULL=0123456789abcdef0123\n",
		"CONTAINER_NAME=p-web-1\n", "CONTAINER_TAG=p-web-1\n", "SYSLOG_IDENTIFIER=p-web-1\n", "IMAGE_NAME=busybox\n", "TIER=front\n", "APP_ENV=test\n",
		"SYSLOG_TIMESTAMP=2003-10-11T22:14:15.003000000Z\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if strings.Contains(got, "OTHER") || strings.Contains(got, "PARTIAL") {
		t.Errorf("%q has too much", got)
	}
	if n := journalName("_com.example-x"); n != "COM_EXAMPLE_X" {
		t.Errorf("name %q", n)
	}
}

// The forward protocol, Message mode: [tag, time, record, option].
func TestFluentdEvents(t *testing.T) {
	for _, c := range []struct{ exact, want string }{
		{"false", "94" + hx("\xa3web") + "d3000000003f8880b7"},
		{"true", "94" + hx("\xa3web") + "d7003f8880b700" + "2dc6c0"},
	} {
		f := &fluentd{tag: "web", record: map[string]string{"container_name": "/w"}, isExact: c.exact == "true"}
		want := c.want + "83" + hx("\xaecontainer_name") + hx("\xa2/w") + hx("\xa3log") + hx("\xa2hi") + hx("\xa6source") + hx("\xa6stderr") + "80"
		if got := hex.EncodeToString(f.event(entry("hi", true), "")); got != want {
			t.Errorf("%s\n got %s\nwant %s", c.exact, got, want)
		}
	}
}

func hx(s string) string { return hex.EncodeToString([]byte(s)) }

// Lengths of texts and mappings at the borders of their forms (MessagePack, "formats").
func TestMsgpackLengths(t *testing.T) {
	for n, head := range map[int]string{31: "bf", 32: "d920", 255: "d9ff", 256: "da0100", 65535: "daffff", 65536: "db00010000"} {
		got := packText(nil, strings.Repeat("x", n))
		if !bytes.HasPrefix(got, unhex(head)) || len(got) != n+len(head)/2 {
			t.Errorf("%d: % x", n, got[:5])
		}
	}
	m := map[string]string{}
	for i := range 16 {
		m[string(rune('a'+i))] = ""
	}
	if got := packTexts(nil, m); !bytes.HasPrefix(got, []byte{0xde, 0, 16, 0xa1, 'a', 0xa0}) {
		t.Errorf("% x", got[:6])
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}
