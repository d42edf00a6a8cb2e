package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	bkversion "github.com/moby/buildkit/version"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// BuildKit's services are on the engine's socket, all of them, so that buildx,
// bake and buildctl build against the engine. A call is passed on as it is,
// message by message. Sessions are not: what they move is whole build contexts.

// SessionService is the part of BuildKit's control service that is not passed on
// but served, by a method Session(stream).
var SessionService = grpc.ServiceDesc{
	ServiceName: controlapi.Control_ServiceDesc.ServiceName,
	HandlerType: (*sessionServer)(nil),
	Streams: slices.DeleteFunc(slices.Clone(controlapi.Control_ServiceDesc.Streams), func(d grpc.StreamDesc) bool {
		return d.StreamName != "Session"
	}),
}

type sessionServer interface {
	Session(controlapi.Control_SessionServer) error
}

// Session serves one connection over which a caller lends files and secrets.
func (k *Kit) Session(stream controlapi.Control_SessionServer) error {
	return k.controller.Session(stream)
}

// Proxy passes a call of one of BuildKit's services on. Its server has the
// FrameCodec.
func (k *Kit) Proxy(in grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(in)
	if !ok {
		return status.Error(codes.Internal, "a call without a method")
	}
	ctx, cancel := context.WithCancelCause(in.Context())
	defer cancel(nil)
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	out, err := k.raw.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	go func() { // ends with the call at the latest
		if err := passRequests(in, out, method); err != nil && !errors.Is(err, io.EOF) { // EOF: the answer says why
			cancel(err)
		}
	}()
	err = passReplies(out, in)
	in.SetTrailer(out.Trailer())
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// passRequests passes on what the caller sends, to its end.
func passRequests(in grpc.ServerStream, out grpc.ClientStream, method string) error {
	for {
		var f frame
		if err := in.RecvMsg(&f); errors.Is(err, io.EOF) {
			return out.CloseSend()
		} else if err != nil {
			return err
		}
		if err := checkRequest(method, &f); err != nil {
			return err
		}
		if err := out.SendMsg(&f); err != nil {
			return err
		}
	}
}

// checkRequest refuses builds that ask for more of the host than others: a stack
// file has a place for that, which is listed, and which a policy can forbid.
func checkRequest(method string, f *frame) error {
	if method != controlapi.Control_Solve_FullMethodName {
		return nil
	}
	var req controlapi.SolveRequest
	if err := encoding.GetCodecV2(proto.Name).Unmarshal(mem.BufferSlice{mem.SliceBuffer(f.data)}, &req); err != nil {
		return err
	}
	if len(req.Entitlements) > 0 {
		return status.Errorf(codes.PermissionDenied, "%s is granted to builds of a stack file alone: write it as one of build.entitlements", strings.Join(req.Entitlements, ", "))
	}
	return nil
}

func passReplies(out grpc.ClientStream, in grpc.ServerStream) error {
	header, err := out.Header()
	if err != nil {
		return err
	}
	if err := in.SendHeader(header); err != nil {
		return err
	}
	for {
		var f frame
		if err := out.RecvMsg(&f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := in.SendMsg(&f); err != nil {
			return err
		}
	}
}

// frame is a message as it came, not decoded.
type frame struct{ data []byte }

// FrameCodec is gRPC's own codec, which leaves frames as they are.
type FrameCodec struct{}

// Name is that of gRPC's own.
func (FrameCodec) Name() string { return proto.Name }

// Marshal encodes a message.
func (FrameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
	}
	return encoding.GetCodecV2(proto.Name).Marshal(v)
}

// Unmarshal decodes a message.
func (FrameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.data = data.Materialize()
		return nil
	}
	return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
}

// nameBuildKit makes BuildKit say its version, which only a linker sets
// otherwise: clients decide by it what they may ask for.
func nameBuildKit() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("internal error: this program does not know what it was built from")
	}
	for _, m := range info.Deps {
		if m.Path == bkversion.Package {
			bkversion.Version = m.Version
			return nil
		}
	}
	return fmt.Errorf("internal error: %s is not part of this program", bkversion.Package)
}
