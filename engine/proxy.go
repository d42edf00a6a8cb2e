package engine

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
// bake and buildctl build against the engine. BuildKit is not there yet when
// the socket is: a call waits for it and is then passed on as it is, message
// by message. Sessions are not: what they move is whole build contexts.

// sessionService is the part of BuildKit's control service that is not passed on.
var sessionService = grpc.ServiceDesc{
	ServiceName: controlapi.Control_ServiceDesc.ServiceName,
	HandlerType: (*sessionServer)(nil),
	Streams: slices.DeleteFunc(slices.Clone(controlapi.Control_ServiceDesc.Streams), func(d grpc.StreamDesc) bool {
		return d.StreamName != "Session"
	}),
}

type sessionServer interface {
	Session(controlapi.Control_SessionServer) error
}

// buildSessions serves sessions.
type buildSessions struct {
	controlapi.UnimplementedControlServer
	engine *Engine
}

// Session is one connection over which a caller lends files and secrets.
func (k *buildSessions) Session(stream controlapi.Control_SessionServer) error {
	if err := k.engine.needKit(stream.Context()); err != nil {
		return err
	}
	return k.engine.kit.controller.Session(stream)
}

// proxyToBuildKit passes a call of a service that the API has not on to BuildKit.
func (e *Engine) proxyToBuildKit(in grpc.ServerStream) error {
	ctx := in.Context()
	method, ok := grpc.MethodFromServerStream(in)
	if !ok || strings.HasPrefix(method, "/orlop.") {
		return status.Errorf(codes.Unimplemented, "the engine has no method %s: it is of another version than the caller", method)
	}
	if err := e.needKit(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	out, err := e.kit.raw.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	go func() { // ends with the call at the latest
		if err := passRequests(in, out); err != nil && !errors.Is(err, io.EOF) { // EOF: the answer says why
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
func passRequests(in grpc.ServerStream, out grpc.ClientStream) error {
	for {
		var f frame
		if err := in.RecvMsg(&f); errors.Is(err, io.EOF) {
			return out.CloseSend()
		} else if err != nil {
			return err
		}
		if err := out.SendMsg(&f); err != nil {
			return err
		}
	}
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

// frameCodec is gRPC's own codec, which leaves frames as they are.
type frameCodec struct{}

func (frameCodec) Name() string { return proto.Name }

// Marshal encodes a message.
func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
	}
	return encoding.GetCodecV2(proto.Name).Marshal(v)
}

// Unmarshal decodes a message.
func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
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
	return fmt.Errorf("internal error: %s is no part of this program", bkversion.Package)
}
