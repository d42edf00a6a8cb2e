package api

import (
	"context"
	"os"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Keys of what a call says of its caller.
const (
	callerVerb    = "orlop-verb"
	callerProcess = "orlop-process"
)

// Caller is who makes a call: the engine names it to others who wait for it.
type Caller struct {
	Verb string // "up"; "" if it did not say
	PID  int    // 0 if it did not say
}

// CallerOf is the caller of a call that a server answers.
func CallerOf(ctx context.Context) (c Caller) {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get(callerVerb); len(v) > 0 {
		c.Verb = v[0]
	}
	if v := md.Get(callerProcess); len(v) > 0 {
		c.PID, _ = strconv.Atoi(v[0])
	}
	return c
}

// named adds to a call who makes it, and in which protocol.
func (c *Client) named(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(c.Proxies.with(ctx), callerVerb, c.Verb, callerProcess, strconv.Itoa(os.Getpid()),
		protocolKey, strconv.Itoa(Protocol))
}

func (c *Client) nameUnary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn,
	call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if err := c.may(method); err != nil {
		return err
	}
	return call(c.named(ctx), method, req, reply, conn, opts...)
}

func (c *Client) nameStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := c.may(method); err != nil {
		return nil, err
	}
	return open(c.named(ctx), desc, conn, method, opts...)
}

// may asks whether a call may be made.
func (c *Client) may(method string) error {
	if c.May == nil {
		return nil
	}
	return c.May(method)
}
