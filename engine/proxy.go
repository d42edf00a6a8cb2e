package engine

import (
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// BuildKit is not there yet when the socket is: its calls wait for it.

// buildSessions serves the sessions of callers that build.
type buildSessions struct {
	controlapi.UnimplementedControlServer
	engine *Engine
}

// Session is one connection over which a caller lends files and secrets.
func (k *buildSessions) Session(stream controlapi.Control_SessionServer) error {
	if err := k.engine.needKit(stream.Context()); err != nil {
		return err
	}
	return k.engine.kit.Session(stream)
}

// proxyToBuildKit passes a call of a service that the API has not on to BuildKit.
func (e *Engine) proxyToBuildKit(in grpc.ServerStream) error {
	if method, ok := grpc.MethodFromServerStream(in); !ok || strings.HasPrefix(method, "/orlop.") {
		return status.Errorf(codes.Unimplemented, "the engine has no method %s: it is of another version than the caller", method)
	}
	if err := e.needKit(in.Context()); err != nil {
		return err
	}
	return e.kit.Proxy(in)
}
