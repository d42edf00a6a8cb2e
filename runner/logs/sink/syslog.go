package sink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/logtag"
)

// Severities of syslog (RFC 5424, 6.2.1).
const (
	severityError = 3
	severityInfo  = 6
)

// localSyslog are the sockets of a syslog on this machine.
func localSyslog() []string { return []string{"/dev/log", "/var/run/syslog", "/var/run/log"} }

// syslog sends lines to a syslog.
type syslog struct {
	format   format
	facility int
	host     string
	tag      string
	pid      int
	counted  bool // a length stands before each message (RFC 5425)
	wire     wire
}

// format writes a message without its frame.
type format func(out *bytes.Buffer, s *syslog, priority int, at time.Time, text []byte)

func newSyslog(l *spec.Logging, info *logtag.Info) (logs.Delivery, error) {
	tag, err := logtag.Expand(l.Option("tag"), info)
	if err != nil {
		return logs.Delivery{}, err
	}
	facility, _ := spec.SyslogFacility(l.Option("syslog-facility"))
	s := &syslog{facility: facility, host: info.Host, tag: tag, pid: os.Getpid()}
	s.format = map[string]format{
		"": unixFormat, "rfc3164": rfc3164, "rfc5424": rfc5424(time.RFC3339), "rfc5424micro": rfc5424("2006-01-02T15:04:05.000000Z07:00"),
	}[l.Option("syslog-format")]
	address := l.Option("syslog-address")
	if err := s.connectTo(address, l); err != nil {
		return logs.Delivery{}, err
	}
	name := "syslog at " + cmp.Or(address, s.wire.address)
	return logs.Delivery{Sink: s, Name: name, Reach: func(ctx context.Context) error {
		probe := s.wire.copy()
		if err := probe.reach(ctx); err != nil {
			return unreachable(name, err)
		}
		return nil
	}}, nil
}

// connectTo says where the syslog is.
func (s *syslog) connectTo(address string, l *spec.Logging) error {
	if address == "" {
		s.wire.network, s.wire.address = "unixgram", firstThere(localSyslog())
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || s.format == nil {
		return fmt.Errorf("syslog at %q is not possible", address)
	}
	s.wire.network = u.Scheme
	switch u.Scheme {
	case "unix", "unixgram":
		s.wire.address = u.Path
		return nil
	case "tcp+tls":
		s.wire.network, s.wire.tls = "tcp", func() (*tls.Config, error) { return tlsOf(l, u.Hostname()) }
		s.counted = strings.HasPrefix(l.Option("syslog-format"), "rfc5424")
	}
	s.wire.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "514"))
	return nil
}

func firstThere(paths []string) string {
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return paths[0]
}

// tlsOf reads the certificates that the options name, each time a connection is made.
func tlsOf(l *spec.Logging, host string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: l.Option("syslog-tls-skip-verify") != ""}
	if path := l.Option("syslog-tls-ca-cert"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read syslog-tls-ca-cert: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", path)
		}
	}
	if path := l.Option("syslog-tls-cert"); path != "" {
		own, err := tls.LoadX509KeyPair(path, l.Option("syslog-tls-key"))
		if err != nil {
			return nil, fmt.Errorf("cannot read syslog-tls-cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{own}
	}
	return cfg, nil
}

// Send implements logs.Sink.
func (s *syslog) Send(ctx context.Context, e *logs.Entry) error {
	return s.wire.write(ctx, s.message(e), true)
}

// message is a line as it is sent.
func (s *syslog) message(e *logs.Entry) []byte {
	severity := severityInfo
	if e.Stderr {
		severity = severityError
	}
	var out bytes.Buffer
	s.format(&out, s, s.facility<<3|severity, e.Time, e.Text)
	out.WriteByte('\n')
	if s.counted {
		return append([]byte(strconv.Itoa(out.Len())+" "), out.Bytes()...)
	}
	return out.Bytes()
}

// Close implements logs.Sink.
func (s *syslog) Close() error { return s.wire.close() }

// unixFormat is what programs write to the socket of a local syslog: no host.
func unixFormat(out *bytes.Buffer, s *syslog, priority int, at time.Time, text []byte) {
	fmt.Fprintf(out, "<%d>%s %s[%d]: ", priority, at.Local().Format(time.Stamp), s.tag, s.pid)
	out.Write(text)
}

// rfc3164 is the format of RFC 3164, 4.1.
func rfc3164(out *bytes.Buffer, s *syslog, priority int, at time.Time, text []byte) {
	fmt.Fprintf(out, "<%d>%s %s %s[%d]: ", priority, at.Local().Format(time.Stamp), s.host, s.tag, s.pid)
	out.Write(text)
}

// rfc5424 is the format of RFC 5424, 6, with the tag as its application and as the ID
// of its messages, as Docker has it.
func rfc5424(layout string) format {
	return func(out *bytes.Buffer, s *syslog, priority int, at time.Time, text []byte) {
		fmt.Fprintf(out, "<%d>1 %s %s %s %d %s - ", priority, at.Local().Format(layout), cmp.Or(s.host, "-"), s.tag, s.pid, s.tag)
		out.Write(text)
	}
}
