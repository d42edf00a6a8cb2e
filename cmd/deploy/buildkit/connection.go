package buildkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// maxMessage is that of BuildKit's own clients, in bytes.
const maxMessage = 16 << 20

// Run runs a command in a pod, whose standard input and output are a connection, and returns when it has ended. What the command
// says on standard error it writes to said.
type Run func(ctx context.Context, pod Pod, command []string, stdio io.ReadWriter, said io.Writer) error

// Connection is one to a BuildKit. It is made when something is asked for.
type Connection struct {
	*grpc.ClientConn
	at     *Address
	tls    *tls.Config // of tcp://; nil: none
	inPod  Run
	ctx    context.Context // ends what a connection runs by
	cancel context.CancelFunc

	mu     sync.Mutex
	last   *attempt
	losses map[int]error // what connections came to that were answered, by their numbers
	closed bool

	running sync.WaitGroup // of what connections run by; added to while it is not closed
}

// attempt is one connection that was begun; guarded by the mu of its Connection.
type attempt struct {
	number  int       // from 1; 0: none was begun
	lost    error     // what it came to; nil: it is there, or was ended by us
	reached bool      // it was answered
	heard   time.Time // when last
	isOurs  bool      // it was we who ended it
}

// A builder that vanishes closes no connection, and while a build runs we only listen: one that was silent for askAfter is asked whether it
// is there, and is given up when it says nothing within answerWithin. BuildKit's server hangs up on clients that ask more often than every
// five minutes, unless it has sent something since they asked last. It has: it checks the session of a build every five seconds, so that a
// builder that is well is not asked at all.
const (
	askAfter     = 30 * time.Second
	answerWithin = 20 * time.Second
)

// Connect prepares a connection; inPod runs commands in pods.
func Connect(ctx context.Context, at *Address, inPod Run) (*Connection, error) {
	c := &Connection{at: at, inPod: inPod, last: &attempt{}, losses: map[int]error{}}
	var err error
	if at.Scheme == "tcp" && at.isTLS() {
		if c.tls, err = at.tls(); err != nil {
			return nil, fmt.Errorf("--builder %s: %w", at, err)
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.ClientConn, err = grpc.NewClient("passthrough:///"+at.Redacted(),
		grpc.WithContextDialer(c.dial), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: askAfter, Timeout: answerWithin}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor), grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor))
	if err != nil {
		c.cancel()
		return nil, fmt.Errorf("cannot use the builder %s: %w", at, err)
	}
	return c, nil
}

// Close ends the connection and what it ran by, and waits for that.
func (c *Connection) Close() error {
	err := c.ClientConn.Close()
	c.cancel()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
	return err
}

// begin counts something that runs until running.Done; not after Close.
func (c *Connection) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.running.Add(1)
	return nil
}

// Number is that of the connection that a call goes over which is made now: the last one's, unless that is lost. One that could not be made
// may not be tried again at once.
func (c *Connection) Number() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.number == 0 || c.last.reached && c.last.lost != nil {
		return c.last.number + 1
	}
	return c.last.number
}

// Explain says of the error of a call whether it is the connection that failed, and by what; other errors stay as they are. The code of
// an error tells nothing of that: a registry that is away has the same. The number is that of the connection when the work began that
// the call belongs to: others may have been made since, and those before have nothing to do with it.
func (c *Connection) Explain(err error, number int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		return nil
	}
	for n := number; n <= c.last.number; n++ {
		if why := c.losses[n]; why != nil {
			return fmt.Errorf("the builder %s went away: %w", c.at, why)
		}
	}
	switch {
	case c.last.number >= number && c.last.lost != nil:
		return fmt.Errorf("cannot reach the builder %s: %w", c.at, c.last.lost)
	case isOther(err):
		return fmt.Errorf("cannot reach the builder %s: it does not answer as a BuildKit does", c.at)
	}
	return err
}

func (c *Connection) isReached(a *attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return a.reached
}

// isOther says that who answers is no BuildKit: it speaks no HTTP/2, is no server of gRPC, or of other services.
func isOther(err error) bool {
	for _, sign := range []string{"error reading server preface", "unexpected HTTP status code", "unknown service moby.buildkit"} {
		if strings.Contains(err.Error(), sign) {
			return true
		}
	}
	return false
}

// dial makes one connection.
func (c *Connection) dial(ctx context.Context, _ string) (net.Conn, error) {
	c.mu.Lock()
	a := &attempt{number: c.last.number + 1}
	c.last = a
	c.mu.Unlock()
	conn, err := c.open(ctx, a)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		a.lost = err
		return nil, err
	}
	return &noted{Conn: conn, of: c, attempt: a}, nil
}

func (c *Connection) open(ctx context.Context, a *attempt) (net.Conn, error) {
	switch c.at.Scheme {
	case "ssh":
		return c.bySSH(a)
	case "kube":
		return c.byPod()
	case "unix":
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.at.Path)
		return conn, reason(err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.at.Host)
	if err != nil || c.tls == nil {
		return conn, reason(err)
	}
	secured := tls.Client(conn, c.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, reason(err)
	}
	return secured, nil
}

// reason is why a connection was not made or was lost, in words.
func reason(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var header tls.RecordHeaderError
	var op *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return errors.New("its certificate is of an authority that is not known here: cacert=FILE names it")
	case errors.As(err, &name):
		return fmt.Errorf("its certificate is not one of %s: servername=NAME says whose it is", name.Host)
	case errors.As(err, &header):
		return errors.New("it speaks no TLS")
	case strings.Contains(err.Error(), "tls: certificate required"):
		return errors.New("it wants to know who we are: cert=FILE and key=FILE name a certificate")
	case errors.Is(err, io.EOF):
		return errors.New("the connection was closed")
	case errors.Is(err, os.ErrNotExist):
		return errors.New("there is no such socket")
	case errors.As(err, &op):
		text := op.Err.Error()
		for _, call := range []string{"connect: ", "read: ", "write: "} {
			text = strings.TrimPrefix(text, call)
		}
		return errors.New(text)
	}
	return err
}

// noted is a connection whose end is noted.
type noted struct {
	net.Conn
	of *Connection
	*attempt
}

// Read reads, and notes why it can't.
func (n *noted) Read(p []byte) (int, error) {
	read, err := n.Conn.Read(p)
	n.note(read > 0, err)
	return read, err
}

// Write writes, and notes why it can't: what the other side said before it hung up explains that, where it said something.
func (n *noted) Write(p []byte) (int, error) {
	written, err := n.Conn.Write(p)
	if err != nil {
		_ = n.Conn.SetReadDeadline(time.Now().Add(time.Second)) // nobody needs it any more
		if _, said := n.Conn.Read(make([]byte, 1)); said != nil && !errors.Is(said, os.ErrDeadlineExceeded) && !errors.Is(said, io.EOF) {
			err = said
		}
		n.note(false, err)
	}
	return written, err
}

// note notes what a connection is lost by: not that we have stopped to wait for it.
func (n *noted) note(isHeard bool, err error) {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	if isHeard {
		n.reached, n.heard = true, time.Now()
	}
	if err != nil && !n.isOurs && !errors.Is(err, os.ErrDeadlineExceeded) {
		n.lose(reason(err))
	}
}

// lose notes why the connection is no more; of.mu is held.
func (n *noted) lose(why error) {
	if n.lost != nil {
		return
	}
	n.lost = why
	if n.reached {
		n.of.losses[n.number] = why
	}
}

// Close ends it. One that was silent for too long has vanished.
func (n *noted) Close() error {
	n.of.mu.Lock()
	if silent := time.Since(n.heard); n.reached && silent >= askAfter+answerWithin {
		n.lose(fmt.Errorf("it has not answered for %v", silent.Round(time.Second)))
	}
	n.isOurs = true
	n.of.mu.Unlock()
	return n.Conn.Close()
}
