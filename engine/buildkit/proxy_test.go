package buildkit

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// controller is a BuildKit that answers as a test wants it to.
type controller struct {
	controlapi.UnimplementedControlServer
	gone chan error // gets why a call that stands has ended
}

func (c *controller) Solve(ctx context.Context, req *controlapi.SolveRequest) (*controlapi.SolveResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	_ = grpc.SendHeader(ctx, metadata.Pairs("begun", req.Ref))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("ended", req.Ref))
	if req.Ref == "bad" {
		return nil, status.Error(codes.AlreadyExists, "no such step")
	}
	return &controlapi.SolveResponse{ExporterResponse: map[string]string{"said": strings.Join(md["trace"], "")}}, nil
}

func (c *controller) Status(req *controlapi.StatusRequest, stream controlapi.Control_StatusServer) error {
	if req.Ref == "stands" {
		defer func() { c.gone <- stream.Context().Err() }()
	}
	for range 3 {
		if err := stream.Send(&controlapi.StatusResponse{Logs: []*controlapi.VertexLog{{Msg: []byte(req.Ref)}}}); err != nil {
			return err
		}
	}
	if req.Ref != "stands" {
		return nil
	}
	<-stream.Context().Done()
	return stream.Context().Err()
}

// connect serves in memory, and dials.
func connect(t *testing.T, srv *grpc.Server, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	pipe := bufconn.Listen(1 << 16)
	go srv.Serve(pipe)
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient("passthrough:///test", append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// proxied is a client of a BuildKit behind a proxy, as the engine's socket has it.
func proxied(t *testing.T, c *controller) controlapi.ControlClient {
	behind := grpc.NewServer()
	controlapi.RegisterControlServer(behind, c)
	k := &Kit{raw: connect(t, behind, grpc.WithDefaultCallOptions(grpc.ForceCodecV2(FrameCodec{})))}
	front := grpc.NewServer(grpc.ForceServerCodecV2(FrameCodec{}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return k.Proxy(stream) }))
	return controlapi.NewControlClient(connect(t, front))
}

// TestACallIsPassedOnAsItIs: with what goes before and after its messages.
func TestACallIsPassedOnAsItIs(t *testing.T) {
	client := proxied(t, &controller{})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "trace", "t1")
	var header, trailer metadata.MD
	res, err := client.Solve(ctx, &controlapi.SolveRequest{Ref: "r"}, grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil || res.ExporterResponse["said"] != "t1" {
		t.Errorf("%v, %v", res, err)
	}
	if strings.Join(header["begun"], "") != "r" || strings.Join(trailer["ended"], "") != "r" {
		t.Errorf("before it came %v, after it %v", header, trailer)
	}
	_, err = client.Solve(ctx, &controlapi.SolveRequest{Ref: "bad"}, grpc.Trailer(&trailer))
	if status.Code(err) != codes.AlreadyExists || status.Convert(err).Message() != "no such step" || strings.Join(trailer["ended"], "") != "bad" {
		t.Errorf("an error becomes %v, after it comes %v", err, trailer)
	}
}

// TestOnlyStackFilesAreGrantedTheHost: the engine's own builds don't come this way.
func TestOnlyStackFilesAreGrantedTheHost(t *testing.T) {
	_, err := proxied(t, &controller{}).Solve(t.Context(), &controlapi.SolveRequest{Ref: "r", Entitlements: []string{"security.insecure"}})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "security.insecure is granted to builds of a stack file alone") {
		t.Errorf("%v", err)
	}
}

func TestAStreamIsPassedOnToItsEnd(t *testing.T) {
	stream, err := proxied(t, &controller{}).Status(t.Context(), &controlapi.StatusRequest{Ref: "r"})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got += string(m.Logs[0].Msg)
	}
	if got != "rrr" {
		t.Errorf("it brings %q", got)
	}
}

func TestACallEndsWithItsCaller(t *testing.T) {
	c := &controller{gone: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := proxied(t, c).Status(ctx, &controlapi.StatusRequest{Ref: "stands"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-c.gone:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("BuildKit goes on with a call that nobody waits for")
	}
}

// TestSessionsAloneAreNotPassedOn: all else of BuildKit's service is.
func TestSessionsAloneAreNotPassedOn(t *testing.T) {
	if len(SessionService.Methods) != 0 || len(SessionService.Streams) != 1 || SessionService.Streams[0].StreamName != "Session" {
		t.Errorf("%+v", SessionService)
	}
	if len(controlapi.Control_ServiceDesc.Streams) < 2 {
		t.Error("BuildKit's own description is changed")
	}
}
