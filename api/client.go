// Package api is the protocol between the command and the engine: generated
// code, how planner's values cross it, and a small client. It holds no decisions
// and links nothing but gRPC.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// MaxMessage is the largest message that either side accepts, in bytes: a
// project of a thousand services with its secrets fits.
const MaxMessage = 256 << 20

// Window is how many bytes may be under way on a call before its reader has taken them, and
// Buffer how many of a connection are read or written at once: gigabytes of files go over it.
const (
	Window = 8 << 20
	Buffer = 256 << 10
)

// ErrAbsent is the error of Dial where nothing listens.
var ErrAbsent = errors.New("no engine answers")

// ErrLost is the error of a call whose engine went away in the middle.
var ErrLost = errors.New("the engine went away in the middle: run the command again; containers keep running")

// ErrCannotStart is the error of a call for which the keeper answers, as no
// engine can start; what follows says why.
var ErrCannotStart = errors.New("the engine cannot start")

// Client speaks to one engine.
type Client struct {
	EngineClient
	Vault VaultClient
	Image ImagesClient
	File  FilesClient
	// Container is about containers one by one.
	Container ContainersClient
	Registry  RegistryClient
	Signature SignaturesClient
	Volume    VolumesClient // their files
	Port      PortsClient
	Verb      string // what the command was called with, as others are told; set before the first call
	History   HistoryClient
	// Proxies are told with each call, for what is pulled and built by it; nil tells
	// nothing.
	Proxies *Proxies
	// May is asked before each call, by the full name of its method; nil: each may be made.
	May  func(method string) error
	conn *grpc.ClientConn

	absent <-chan struct{}
}

// Dial connects to the engine's socket. The error is an ErrAbsent where
// nothing listens, and an fs.ErrPermission where the caller may not connect.
// The engine itself may still be starting: calls wait for it.
func Dial(ctx context.Context, socket string) (*Client, error) {
	var d net.Dialer
	first, err := d.DialContext(ctx, "unix", socket)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w at %s", ErrAbsent, socket)
	case err != nil:
		return nil, err
	}
	dialer := &firstDialer{first: first, socket: socket, absent: make(chan struct{})}
	c := &Client{absent: dialer.absent}
	conn, err := grpc.NewClient("passthrough:///engine",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dialer.dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Minute,
		}),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithInitialWindowSize(Window), grpc.WithInitialConnWindowSize(Window), grpc.WithReadBufferSize(Buffer), grpc.WithWriteBufferSize(Buffer),
		grpc.WithUnaryInterceptor(c.nameUnary), grpc.WithStreamInterceptor(c.nameStream),
	)
	if err != nil {
		first.Close()
		return nil, err
	}
	c.EngineClient, c.Vault, c.Image, c.Registry, c.History, c.conn = NewEngineClient(conn), NewVaultClient(conn), NewImagesClient(conn), NewRegistryClient(conn), NewHistoryClient(conn), conn
	c.Signature = NewSignaturesClient(conn)
	c.Container = NewContainersClient(conn)
	c.File = NewFilesClient(conn)
	c.Volume, c.Port = NewVolumesClient(conn), NewPortsClient(conn)
	return c, nil
}

// Conn is the connection, for services that share it.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Absent is closed when the connection was lost and nothing listens any more:
// no keeper is there that would start an engine, so a call would wait in vain.
func (c *Client) Absent() <-chan struct{} { return c.absent }

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// firstDialer hands out the connection that Dial has made, then new ones.
type firstDialer struct {
	mu     sync.Mutex
	first  net.Conn
	socket string
	absent chan struct{} // closed once nothing listens
	gone   sync.Once
}

func (f *firstDialer) dial(ctx context.Context, _ string) (net.Conn, error) {
	f.mu.Lock()
	conn := f.first
	f.first = nil
	f.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", f.socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		f.gone.Do(func() { close(f.absent) })
	}
	return conn, err
}

// lostError is ErrLost, and when it was noticed.
type lostError struct{ at time.Time }

func (e *lostError) Error() string { return ErrLost.Error() }
func (e *lostError) Unwrap() error { return ErrLost }

// LostAt is when it was noticed that the engine of a call went away: now, if the error
// does not say.
func LostAt(err error) time.Time {
	if lost, ok := errors.AsType[*lostError](err); ok {
		return lost.at
	}
	return time.Now()
}

// Cause is the error of a call as a user may read it: the engine's own words,
// without the transport's.
func Cause(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	switch st.Code() {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unavailable:
		return &lostError{time.Now()}
	case codes.DataLoss: // the keeper's answer (keeper/refuse.go)
		return fmt.Errorf("%w: %s", ErrCannotStart, st.Message())
	case codes.Unimplemented:
		return errors.New(`the engine is older than the command and does not know this call: run "orlop engine restart"`)
	}
	if strings.Contains(st.Message(), "contains invalid UTF-8") {
		return errors.New("cannot tell the engine of an argument, a name or a path that is not UTF-8 text: rename it, or write it in UTF-8")
	}
	return errors.New(st.Message())
}
