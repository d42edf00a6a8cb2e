package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec"
)

func syslogAt(t *testing.T, address string, options map[string]string) logs.Delivery {
	t.Helper()
	all := map[string]string{"syslog-address": address, "tag": "web"}
	for k, v := range options {
		all[k] = v
	}
	d, err := newSyslog(&spec.Logging{Driver: "syslog", Options: all}, info())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Sink.Close() })
	return d
}

// TestAReceiverThatEndsIsNoticed holds that what is sent after a receiver has ended its
// connection comes by a new one: a write to the old one would succeed, and be lost.
func TestAReceiverThatEndsIsNoticed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := syslogAt(t, "tcp://"+l.Addr().String(), nil)
	for i, text := range []string{"one", "two", "three"} {
		sent := make(chan error, 1)
		go func() { sent <- d.Sink.Send(context.Background(), entry(text, false)) }()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasSuffix(got, ": "+text+"\n") {
			t.Errorf("%d: %q %v", i, got, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		conn.Close()
		<-d.Sink.(*syslog).wire.peer // it has noticed
	}
}

func TestAReceiverThatIsNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	d := syslogAt(t, "tcp://"+address, nil)
	if err := d.Reach(t.Context()); err != nil {
		t.Errorf("it is there: %v", err)
	}
	l.Close()
	if err := d.Reach(t.Context()); err == nil || err.Error() != "cannot reach syslog at tcp://"+address+": connection refused" {
		t.Errorf("it is not there: %v", err)
	}
	if err := d.Sink.Send(t.Context(), entry("x", false)); err == nil {
		t.Error("it was sent something")
	}
}

// TestSyslogOverTLS holds that a receiver must have a certificate of the given authority,
// unless that is not to be looked at.
func TestSyslogOverTLS(t *testing.T) {
	srv := httptest.NewTLSServer(nil)
	defer srv.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: srv.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				for in := bufio.NewScanner(conn); in.Scan(); {
					got <- in.Text()
				}
			}()
		}
	}()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	address := "tcp+tls://" + l.Addr().String()
	if err := syslogAt(t, address, nil).Sink.Send(t.Context(), entry("x", false)); err == nil {
		t.Error("a certificate of nobody was taken")
	}
	for _, options := range []map[string]string{
		{"syslog-tls-ca-cert": ca, "syslog-format": "rfc5424"}, {"syslog-tls-skip-verify": "true", "syslog-format": "rfc5424"},
	} {
		d := syslogAt(t, address, options)
		if err := d.Reach(t.Context()); err != nil {
			t.Error(err)
		}
		if err := d.Sink.Send(t.Context(), entry("hello", false)); err != nil {
			t.Error(err)
		}
		if line := <-got; !strings.HasSuffix(line, " - hello") {
			t.Errorf("%v: %q", options, line)
		}
	}
}

func TestTheJournalGetsDatagrams(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d, err := newJournald(&spec.Logging{Driver: "journald"}, info(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Sink.Close()
	if err := d.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	long := strings.Repeat("x", 16<<10) // the longest piece
	if err := d.Sink.Send(t.Context(), entry(long, false)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, _, err := conn.ReadFrom(buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "MESSAGE="+long+"\nPRIORITY=6\n") || !strings.Contains(string(buf[:n]), "\nCONTAINER_TAG=0123456789ab\n") {
		t.Errorf("%d bytes, %v", n, err)
	}
}
