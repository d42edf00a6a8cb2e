package keeper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary, started by a keeper, is the engine.
const engineEnv = "ORLOP_TEST_ENGINE"

// brokenEnv names a file that says why the engine can't start; it can where there is
// none.
const brokenEnv = "ORLOP_TEST_BROKEN"

func TestMain(m *testing.M) {
	if os.Getenv(engineEnv) != "" && len(os.Args) == 5 {
		if err := fakeEngine(); err != nil {
			fmt.Fprintln(os.Stderr, "engine:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeEngine does what each line that it reads from its API says.
func fakeEngine() error {
	if why, err := os.ReadFile(os.Getenv(brokenEnv)); err == nil {
		fmt.Fprintln(os.Stderr, "time=... level=INFO msg=starting")
		fmt.Fprintln(os.Stderr, "orlop-engine:", string(why))
		os.Exit(1)
	}
	c, err := Dial(ControlFD)
	if err != nil {
		return err
	}
	go func() { <-c.Done(); os.Exit(0) }()
	api, err := net.FileListener(os.NewFile(APIFD, "api"))
	if err != nil {
		return err
	}
	for {
		conn, err := api.Accept()
		if err != nil {
			return err
		}
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			answer, err := obey(c, strings.Fields(lines.Text()))
			if errors.Is(err, io.EOF) {
				fmt.Fprintln(conn, answer)
				return nil
			}
			if err != nil {
				answer = err.Error()
			}
			fmt.Fprintln(conn, answer)
		}
		conn.Close()
	}
}

func obey(c *Conn, words []string) (string, error) {
	ctx := context.Background()
	switch words[0] {
	case "pid":
		return fmt.Sprint(os.Getpid()), nil
	case "publish": // key backend
		bound, err := c.Listen(ctx, Port{Key: words[1], Proto: TCP, Addr: netip.MustParseAddr("127.0.0.1")})
		if err != nil {
			return "", err
		}
		to := netip.MustParseAddrPort(words[2])
		return bound.String(), c.Route(ctx, words[1], Route{Backends: []netip.AddrPort{to}})
	case "ports":
		ports, err := c.Ports(ctx)
		return fmt.Sprint(len(ports)), err
	case "keep": // key text
		f, err := os.CreateTemp("", "kept")
		if err != nil {
			return "", err
		}
		os.Remove(f.Name())
		f.WriteString(words[2])
		return "kept", c.Keep(ctx, words[1], f)
	case "take": // key
		files, err := c.Take(ctx, words[1])
		if err != nil || len(files) != 1 {
			return "nothing", err
		}
		text, err := io.ReadAll(io.NewSectionReader(files[0], 0, 100))
		return string(text), err
	case "restarts":
		s, err := c.Status(ctx)
		return fmt.Sprint(s.Restarts, " ", s.EnginePID), err
	case "reexec":
		return "bye", errors.Join(c.Reexec(ctx), io.EOF)
	case "quit":
		return "bye", errors.Join(c.Quit(ctx), io.EOF)
	}
	return "", fmt.Errorf("no %s", words[0])
}

// runKeeper runs a keeper with a fake engine in this process until the test
// ends, and returns its state directory and how it ended.
func runKeeper(t *testing.T) (state string, ended <-chan error) {
	t.Helper()
	t.Setenv(engineEnv, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	state = filepath.Join(dir, "state")
	ready, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done, gone := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		done <- Run(ctx, Options{
			State: state, Root: filepath.Join(dir, "root"), Engine: self, Version: "v1", Ready: theirs,
			Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
	}()
	t.Cleanup(func() { cancel(); <-gone })
	if word, err := io.ReadAll(ready); err != nil || string(word) != "ready\n" {
		t.Fatalf("the keeper says %q, %v", word, err)
	}
	return state, done
}

// ask sends a line to the engine and returns its answer; it waits in the
// socket's backlog while there is no engine.
func ask(t *testing.T, state, line string) string {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(state, socketName))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(soon))
	fmt.Fprintln(c, line)
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

func kill(t *testing.T, pid string) {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(pid, &n); err != nil || n <= 1 {
		t.Fatalf("pid %q", pid)
	}
	if err := unix.Kill(n, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestAKilledEngineCostsNobodyAnything(t *testing.T) {
	state, _ := runKeeper(t)
	const size = 64 << 20
	half := make(chan struct{})
	server := backend(t, func(c *net.TCPConn) {
		c.Write(make([]byte, size/2))
		<-half
		c.Write(make([]byte, size/2))
		c.Close()
	})
	to := netip.MustParseAddrPort(ask(t, state, "publish web "+server.String()))
	ask(t, state, "keep socket precious")
	client := dial(t, to)
	if _, err := io.CopyN(io.Discard, client, size/4); err != nil {
		t.Fatal(err)
	}
	before := ask(t, state, "pid")
	kill(t, before)
	after := ask(t, state, "pid") // waits for the next engine
	close(half)
	if after == before {
		t.Error("the engine was not killed")
	}
	if n, err := io.Copy(io.Discard, client); err != nil || n != size-size/4 {
		t.Errorf("the transfer ended after %d more bytes: %v", n, err)
	}
	if got := ask(t, state, "ports"); got != "1" {
		t.Errorf("the new engine sees %s ports", got)
	}
	if got := ask(t, state, "take socket"); got != "precious" {
		t.Errorf("what was kept is %q", got)
	}
	if got := ask(t, state, "restarts"); got != "1 "+after {
		t.Errorf("restarts and pid are %s, want 1 %s", got, after)
	}
}

func TestQuitAndUpgrade(t *testing.T) {
	state, ended := runKeeper(t)
	before := ask(t, state, "pid")
	ask(t, state, "reexec")
	if after := ask(t, state, "pid"); after == before {
		t.Error("no new engine after an upgrade")
	}
	if pid, ok := Running(state); !ok || pid != os.Getpid() {
		t.Errorf("running: %d, %t", pid, ok)
	}
	ask(t, state, "quit")
	if err := <-ended; err != nil {
		t.Errorf("the keeper ends with %v", err)
	}
	if _, ok := Running(state); ok {
		t.Error("still running")
	}
	if _, err := os.Stat(filepath.Join(state, socketName)); err == nil {
		t.Error("the API socket stays")
	}
}

func TestThereIsOneKeeper(t *testing.T) {
	state, _ := runKeeper(t)
	err := Run(t.Context(), Options{State: state, Root: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if running, ok := errors.AsType[*RunningError](err); !ok || running.PID != os.Getpid() {
		t.Errorf("the second keeper ends with %v", err)
	}
	ask(t, state, "pid") // the first is unharmed
}

func TestBackoff(t *testing.T) {
	var b backoff
	var waits []time.Duration
	for range 9 {
		waits = append(waits, b.next(time.Second))
	}
	want := []time.Duration{0, 100e6, 200e6, 400e6, 800e6, 1600e6, 3200e6, 5e9, 5e9}
	if fmt.Sprint(waits) != fmt.Sprint(want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if w := b.next(10 * time.Second); w != 0 {
		t.Errorf("after a long life: %v", w)
	}
}

// TestTheCallersSessionIsLeftBehind: see the risk.
//
// Risk environment: the caller who starts the engine has passwords in its environment
// Held: an allow-list of names is kept
func TestTheCallersSessionIsLeftBehind(t *testing.T) {
	kept := []string{
		"PATH=/bin", "HOME=/root", "https_proxy=http://proxy", "HTTPS_PROXY=http://proxy", "NO_PROXY=x", "LC_ALL=C", "LANG=C", "ORLOP_ROOT=/r", "SSL_CERT_FILE=/ca",
	}
	gone := []string{
		"AWS_SECRET_ACCESS_KEY=s3cr3t", "DB_PASSWORD=s3cr3t", "SSH_AUTH_SOCK=/s", "TMPDIR=/tmp/session", "XDG_RUNTIME_DIR=/run/user/1", "PATHS=x", "PWD=/x",
		"NOTIFY_SOCKET=/n", "LISTEN_FDS=1", "LD_PRELOAD=/x.so", "GODEBUG=x=1", "HOME2=x", "LCALL=x", "no equals sign",
	}
	if got := lasting(slices.Concat(gone, kept)); !slices.Equal(got, kept) {
		t.Errorf("it keeps %q", got)
	}
}
