package buildkit

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"google.golang.org/grpc"
)

func TestAddressesAreReadOrRefusedWithWhatToDo(t *testing.T) {
	for _, c := range []struct{ text, wrong string }{
		{"unix:///run/buildkit/buildkitd.sock", ""},
		{"unix://run/buildkit.sock", "the path of a socket is absolute"},
		{"tcp://127.0.0.1:1234", ""},
		{"tcp://[::1]:1234", ""},
		{"tcp://localhost", "it names no port"},
		{"tcp://builds.example:1234", "unencrypted: write tcp://HOST:PORT?cacert=FILE for TLS"},
		{"tcp://builds.example:1234?cacert=ca.crt", ""},
		{"tcp://builds.example:1234?cert=a&key=b&servername=c", ""},
		{"tcp://builds.example:1234?cert=a", "cert and key are files of one certificate"},
		{"tcp://builds.example:1234?tls=yes", `tcp:// takes no "tls", only cacert, cert, key, servername`},
		{"ssh://me@builds.example:2222/run/buildkit.sock", ""},
		{"ssh://me:secret@builds.example", "has a password in it"},
		{"ssh://-oProxyCommand=evil", "write unix://PATH"},
		{"ssh://builds.example?x=y", `ssh:// takes no "x"`},
		{"ssh://builds.example#x", "nothing may follow a #"},
		{"kube://builder?namespace=ci&context=prod&container=buildkitd", ""},
		{"kube://?namespace=ci", "it names no host or pod"},
		{"kube://builder/other", "has no meaning"},
		{"docker-container://builder", "write unix://PATH"},
		{"builder", "write unix://PATH"},
		{"unix:", "the path of a socket is absolute"},
	} {
		at, err := Parse(c.text)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.wrong == "" && at.String() != c.text:
			t.Errorf("%s is shown as %s", c.text, at)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: %v, want %q", c.text, err, c.wrong)
		case c.wrong != "" && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: its password is shown: %v", c.text, err)
		}
	}
}

func TestWhatSSHRunsIsOneWordForTheShellThere(t *testing.T) {
	for text, want := range map[string]string{
		"ssh://builds.example":                    "-- builds.example buildctl dial-stdio",
		"ssh://me@builds.example:22/run/b.sock":   "-l me -p 22 -- builds.example buildctl --addr unix:///run/b.sock dial-stdio",
		"ssh://builds.example/run/a%20b;reboot":   "-- builds.example buildctl --addr 'unix:///run/a b;reboot' dial-stdio",
		"ssh://builds.example/run/it's$(reboot)/": `-- builds.example buildctl --addr 'unix:///run/it'\''s$(reboot)/' dial-stdio`,
	} {
		at, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(at.ssh(), " "); got != want {
			t.Errorf("%s runs %s, want %s", text, got, want)
		}
	}
}

// failure is the error of a call to a BuildKit, in the words that users read.
func failure(t *testing.T, address string, inPod Run) string {
	t.Helper()
	at, err := Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Connect(t.Context(), at, inPod)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = controlapi.NewControlClient(conn).Info(t.Context(), &controlapi.InfoRequest{})
	if err == nil {
		t.Fatalf("%s answers", address)
	}
	return conn.Explain(err, 1).Error()
}

// serve has a function talk to whoever comes to a socket.
func serve(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talk(conn)
			conn.Close()
		}
	}()
	return "unix://" + socket
}

// hangUp says nothing more, and hears whatever is said still.
func hangUp(c net.Conn) {
	_ = c.(*net.UnixConn).CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

// settings is the first frame of a server that speaks HTTP/2.
const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func TestErrorsOfAConnectionSayWhatItWasLostBy(t *testing.T) {
	hangsUp := serve(t, hangUp)
	if got := failure(t, hangsUp, nil); got != "cannot reach the builder "+hangsUp+": the connection was closed" {
		t.Error(got)
	}
	leaves := serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte(settings))
		hangUp(c)
	})
	if got := failure(t, leaves, nil); got != "the builder "+leaves+" went away: the connection was closed" {
		t.Error(got)
	}
	babbles := serve(t, func(c net.Conn) {
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		_, _ = io.Copy(io.Discard, c)
	})
	if got := failure(t, babbles, nil); got != "cannot reach the builder "+babbles+": it does not answer as a BuildKit does" {
		t.Error(got)
	}
	if got := failure(t, "unix:///nothing/there", nil); got != "cannot reach the builder unix:///nothing/there: there is no such socket" {
		t.Error(got)
	}
}

func TestWhatAProgramSaysExplainsItsEnd(t *testing.T) {
	speaks := func(_ context.Context, _ Pod, _ []string, _ io.ReadWriter, said io.Writer) error {
		_, _ = io.WriteString(said, "first\nerror: no such socket\n")
		return errors.New("exited with code 1")
	}
	if got := failure(t, "kube://b", speaks); got != "cannot reach the builder kube://b: no such socket" {
		t.Error(got)
	}
	silent := func(context.Context, Pod, []string, io.ReadWriter, io.Writer) error {
		return errors.New("there is no pod b")
	}
	if got := failure(t, "kube://b", silent); got != "cannot reach the builder kube://b: there is no pod b" {
		t.Error(got)
	}
	leaves := func(_ context.Context, p Pod, command []string, stdio io.ReadWriter, _ io.Writer) error {
		if p != (Pod{"b", "n", "c", "x"}) || strings.Join(command, " ") != "buildctl dial-stdio" {
			t.Error(p, command)
		}
		_, _ = stdio.Write([]byte(settings))
		_, _ = io.ReadFull(stdio, make([]byte, 100))
		return nil
	}
	at := "kube://b?namespace=n&context=c&container=x"
	if got := failure(t, at, leaves); got != "the builder "+at+" went away: buildctl has ended there" {
		t.Error(got)
	}
}

func TestSSHSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for script, want := range map[string]string{
		"echo noise >&2; echo 'ssh: connect to host h port 22: No route to host' >&2; exit 255": `cannot reach the builder ssh://h: connect to host h port 22: No route to host ("ssh h" shows what is wrong)`,
		"echo 'sh: buildctl: not found' >&2; exit 127":                                          `cannot reach the builder ssh://h: there is no buildctl there: it has to be in the PATH that "ssh h env" finds`,
		"echo 'error: no socket' >&2; exit 1":                                                   "cannot reach the builder ssh://h: no socket",
		"exit 3":                                                                                "cannot reach the builder ssh://h: buildctl has ended there with code 3",
		"sleep 5 & exit 255":                                                                    `cannot reach the builder ssh://h: ssh has ended ("ssh h" shows what is wrong)`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := failure(t, "ssh://h", nil); got != want {
			t.Errorf("%q: %s", script, got)
		}
	}
}

// deadlined is a connection that the other side has reset: it takes nothing, and its readers wait until their deadline.
type deadlined struct {
	net.Conn
	once   sync.Once
	passed chan struct{}
}

func (d *deadlined) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
}

func (d *deadlined) SetReadDeadline(time.Time) error {
	d.once.Do(func() { close(d.passed) })
	return nil
}

func (d *deadlined) Read([]byte) (int, error) {
	<-d.passed
	return 0, os.ErrDeadlineExceeded
}

func TestADeadlineOfOursIsNotWhatAConnectionIsLostBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlined{passed: make(chan struct{})}
		a := &attempt{number: 1, reached: true}
		c := &Connection{at: &Address{text: "unix:///s"}, last: a, losses: map[int]error{}}
		n := &noted{Conn: d, of: c, attempt: a}
		var reading sync.WaitGroup
		reading.Go(func() { _, _ = n.Read(make([]byte, 1)) })
		synctest.Wait()
		_ = d.SetReadDeadline(time.Time{}) // as Write does: the one who reads wakes first
		reading.Wait()
		_, _ = n.Write([]byte("x"))
		if got := c.Explain(io.EOF, 1).Error(); got != "the builder unix:///s went away: broken pipe" {
			t.Error(got)
		}
	})
}

func TestABuilderThatVanishesIsGivenUpWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vanishes := func(ctx context.Context, _ Pod, _ []string, stdio io.ReadWriter, _ io.Writer) error {
			_, _ = stdio.Write([]byte(settings))
			go func() { _, _ = io.Copy(io.Discard, stdio) }()
			<-ctx.Done()
			return ctx.Err()
		}
		began := time.Now()
		if got := failure(t, "kube://b", vanishes); got != "the builder kube://b went away: it has not answered for 50s" {
			t.Error(got)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it was waited for for %v", took)
		}
	})
}

// quiet is a BuildKit whose builds take an hour and say nothing.
type quiet struct {
	controlapi.UnimplementedControlServer
	*session.Manager
}

func (q quiet) Session(stream controlapi.Control_SessionServer) error {
	conn, _, options := grpchijack.Hijack(stream)
	return q.HandleConn(stream.Context(), conn, options)
}

func (q quiet) Solve(ctx context.Context, _ *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	select {
	case <-time.After(time.Hour):
		return &controlapi.SolveResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// single is a listener of one connection.
type single struct{ conns chan net.Conn }

func (s single) Accept() (net.Conn, error) {
	if conn := <-s.conns; conn != nil {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (s single) Close() error   { return nil }
func (s single) Addr() net.Addr { return &net.UnixAddr{} }

func TestABuilderThatIsQuietKeepsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		manager, err := session.NewManager()
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer() // with the limits that BuildKit's has
		controlapi.RegisterControlServer(server, quiet{Manager: manager})
		l := single{make(chan net.Conn)}
		var running sync.WaitGroup
		running.Go(func() { _ = server.Serve(l) })
		defer running.Wait()
		defer server.Stop()
		defer close(l.conns)
		at, err := Parse("kube://b")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := Connect(t.Context(), at, func(ctx context.Context, _ Pod, _ []string, stdio io.ReadWriter, _ io.Writer) error {
			l.conns <- stdio.(net.Conn)
			<-ctx.Done()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		control := controlapi.NewControlClient(conn)
		s, err := session.NewSession(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		running.Go(func() { _ = s.Run(ctx, grpchijack.Dialer(control)) })
		if _, err := control.Solve(ctx, &controlapi.SolveRequest{}); err != nil {
			t.Error(conn.Explain(err, 1))
		}
		if n := conn.Number(); n != 1 {
			t.Errorf("it was connected to %d times", n)
		}
		cancel()
		s.Close()
	})
}
