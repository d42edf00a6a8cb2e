package buildkit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Codes that ssh ends with: its own trouble, and that of a shell which does not know a program.
const (
	sshFailed = 255
	notFound  = 127
)

// waitDelay is how long is waited for what ssh says last: one that it leaves behind for later connections (ControlPersist) holds on to
// where it says it.
const waitDelay = time.Second

// bySSH starts ssh, which connects us to the BuildKit of another machine by the buildctl there.
func (c *Connection) bySSH(a *attempt) (net.Conn, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pair of sockets: %w", err)
	}
	defer theirs.Close()
	if err := c.begin(); err != nil {
		ours.Close()
		return nil, err
	}
	s := &spoken{}
	cmd := exec.CommandContext(c.ctx, "ssh", c.at.ssh()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, s
	cmd.WaitDelay = waitDelay
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	// What is pressed on our terminal is not for it, and it asks nothing there: a build may begin at any time.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		ours.Close()
		c.running.Done()
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("there is no ssh on this machine: install OpenSSH's client")
		}
		return nil, fmt.Errorf("cannot start ssh: %w", err)
	}
	p := &program{Conn: ours, ended: make(chan struct{}), closed: make(chan struct{})}
	go func() {
		defer c.running.Done()
		p.err = c.sshEnded(a, cmd.Wait(), s)
		close(p.ended)
		_ = ours.CloseRead() // what it leaves behind may hold on to the other end
	}()
	return p, nil
}

// sshEnded says why ssh has ended.
func (c *Connection) sshEnded(a *attempt, err error, s *spoken) error {
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return s.or("buildctl has ended there")
	}
	if c.isReached(a) {
		return s.or("ssh has ended")
	}
	by := strings.Join(append(append([]string{"ssh"}, c.at.login()...), c.at.Hostname()), " ")
	switch exit.ExitCode() {
	case sshFailed:
		return fmt.Errorf("%w (%q shows what is wrong)", s.or("ssh has ended"), by)
	case notFound:
		return fmt.Errorf("there is no buildctl there: it has to be in the PATH that %q finds", by+" env")
	}
	return s.or("buildctl has ended there with code " + fmt.Sprint(exit.ExitCode()))
}

// byPod runs buildctl in a pod, which connects us to the BuildKit there.
func (c *Connection) byPod() (net.Conn, error) {
	if err := c.begin(); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(c.ctx)
	p := &program{Conn: ours, ended: make(chan struct{}), closed: make(chan struct{}), end: cancel}
	s := &spoken{}
	go func() {
		defer c.running.Done()
		defer close(p.ended)
		err := c.inPod(ctx, c.at.pod(), []string{"buildctl", "dial-stdio"}, theirs, s)
		p.err = s.or("buildctl has ended there")
		if err != nil {
			p.err = s.unless(err)
		}
		theirs.Close()
	}()
	return p, nil
}

// program is a connection that a program makes.
type program struct {
	net.Conn
	ended chan struct{}      // closed when it has
	err   error              // why; to be read once it has ended
	end   context.CancelFunc // ends it; nil: it ends by itself when its input does

	closing sync.Once
	closed  chan struct{} // closed when we have done with it
}

// Read reads what the program prints. That it has ended is told with its reason.
func (p *program) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 {
		return n, nil
	}
	return n, p.why(err)
}

// Write writes to the program, with the same reason.
func (p *program) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	return n, p.why(err)
}

// why is the reason of an error: the program has ended, or is about to where it does not take or give any more.
func (p *program) why(err error) error {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	select {
	case <-p.ended:
		return p.err
	case <-p.closed:
		return err
	}
}

// Close ends the program.
func (p *program) Close() error {
	p.closing.Do(func() { close(p.closed) })
	err := p.Conn.Close()
	if p.end != nil {
		p.end()
	}
	return err
}

// socketPair is a connection whose other end a program may have.
func socketPair() (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close() // FileConn has a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// spoken is the end of what a program says on standard error.
type spoken struct {
	mu   sync.Mutex
	text []byte
}

const mostSpoken = 4 << 10

// Write keeps the end of what is said.
func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	s.text = s.text[max(0, len(s.text)-mostSpoken):]
	return len(p), nil
}

// last is the last line that is not empty.
func (s *spoken) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(s.text)), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	for _, own := range []string{"ssh: ", "error: ", "buildctl: "} {
		line = strings.TrimPrefix(line, own)
	}
	return line
}

// or is what was said last, or something else where nothing was.
func (s *spoken) or(text string) error {
	if said := s.last(); said != "" {
		return errors.New(said)
	}
	return errors.New(text)
}

// unless is an error, or what was said last, which explains it.
func (s *spoken) unless(err error) error {
	if said := s.last(); said != "" {
		return errors.New(said)
	}
	return err
}
