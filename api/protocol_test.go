package api

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// agedEngine speaks a protocol, and checks its callers.
type agedEngine struct {
	UnimplementedEngineServer
	protocol int32
}

func (e *agedEngine) Status(context.Context, *StatusRequest) (*StatusReply, error) {
	return &StatusReply{Version: "v1", Protocol: e.protocol}, nil
}
func (e *agedEngine) Images(context.Context, *ImagesRequest) (*ImagesReply, error) {
	return &ImagesReply{}, nil
}

func dialAged(t *testing.T, protocol int32) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		if err := CheckCaller(ctx, info.FullMethod, "v1"); err != nil {
			return nil, err
		}
		return h(ctx, req)
	}))
	RegisterEngineServer(srv, &agedEngine{protocol: protocol})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-served })
	c, err := Dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestAnEngineOfAnotherProtocolIsNamed: by the command, before it asks for
// anything that the two would read differently.
func TestAnEngineOfAnotherProtocolIsNamed(t *testing.T) {
	for _, c := range []struct {
		protocol int32
		want     string // "": they understand each other
	}{
		{Protocol, ""},
		{0, `the engine is v1 and speaks protocol 1, this command is v2 and speaks 4: run "orlop engine restart" (containers keep running)`},
		{Protocol + 1, `the engine is v1 and speaks protocol 5, this command is v2 and speaks 4: use the command that was installed with the engine`},
	} {
		s, err := dialAged(t, c.protocol).Status(t.Context(), &StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		err = CheckEngine(s, "v2")
		if got := text(err); got != c.want {
			t.Errorf("protocol %d: %q, want %q", c.protocol, got, c.want)
		}
	}
}

// TestACommandOfAnotherProtocolIsRefused: by the engine, in words that an old
// command shows; its status and its end are anybody's.
func TestACommandOfAnotherProtocolIsRefused(t *testing.T) {
	method := "/" + Engine_ServiceDesc.ServiceName + "/Apply"
	older := "this command speaks protocol 1, the engine is v1 and speaks 4: use the command that was installed with the engine"
	newer := `this command speaks protocol 5, the engine is v1 and speaks 4: run "orlop engine restart" (containers keep running)`
	for _, c := range []struct{ said, method, want string }{
		{"4", method, ""},
		{"", method, older},
		{"5", method, newer},
		{"x", method, `the caller says that it speaks protocol "x", which is not a number`},
		{"", Engine_Status_FullMethodName, ""},
		{"5", Engine_Shutdown_FullMethodName, ""},
		{"", Engine_Hold_FullMethodName, ""},
		{"", "/moby.buildkit.v1.Control/Solve", ""},
	} {
		ctx := t.Context()
		if c.said != "" {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(protocolKey, c.said))
		}
		if got := text(Cause(CheckCaller(ctx, c.method, "v1"))); got != c.want {
			t.Errorf("%s, protocol %q: %q, want %q", c.method, c.said, got, c.want)
		}
	}
	if _, err := dialAged(t, Protocol).Images(t.Context(), &ImagesRequest{}); err != nil {
		t.Errorf("a client does not say what it speaks: %v", err)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSpace(err.Error())
}
