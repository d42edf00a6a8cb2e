package deploy

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/connhelper"
	_ "github.com/moby/buildkit/client/connhelper/kubepod" // kube-pod://
	_ "github.com/moby/buildkit/client/connhelper/ssh"     // ssh://
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/planner"
)

// maxMessage is that of BuildKit's own clients, in bytes.
const maxMessage = 16 << 20

// dial connects to the BuildKit of --builder.
func (i *images) dial() (*grpc.ClientConn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.elsewhere != nil {
		return i.elsewhere, nil
	}
	address := i.what.builder
	if rest, ok := strings.CutPrefix(address, "kube://"); ok {
		address = "kube-pod://" + rest
	}
	where, err := url.Parse(address)
	if err != nil || where.Scheme == "" {
		return nil, fmt.Errorf("--builder is %q: write tcp://HOST:PORT, ssh://HOST, kube://POD or unix://PATH", i.what.builder)
	}
	var dialer func(ctx context.Context, _ string) (net.Conn, error)
	switch where.Scheme {
	case "tcp":
		if !isLoopback(where.Host) {
			return nil, fmt.Errorf("--builder %s: what it is lent would go there unencrypted: write ssh://HOST or kube://POD", i.what.builder)
		}
		dialer = func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", where.Host)
		}
	case "unix":
		dialer = func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", where.Path)
		}
	default:
		helper, err := connhelper.GetConnectionHelper(address)
		if err != nil || helper == nil {
			return nil, fmt.Errorf("--builder is %q: write tcp://HOST:PORT, ssh://HOST, kube://POD or unix://PATH", i.what.builder)
		}
		dialer = helper.ContextDialer
	}
	conn, err := grpc.NewClient("passthrough:///"+where.Redacted(),
		grpc.WithContextDialer(dialer), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor), grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor))
	if err != nil {
		return nil, fmt.Errorf("cannot use the builder %s: %w", i.what.builder, err)
	}
	i.elsewhere = conn
	return conn, nil
}

// buildElsewhere builds the image of a service at --builder, which pushes it, after those that it is built on.
func (i *images) buildElsewhere(ctx context.Context, service string, note func(planner.Event)) (string, error) {
	i.mu.Lock()
	ref := i.pushed[service]
	i.mu.Unlock()
	if ref != "" {
		return ref, nil
	}
	conn, err := i.dial()
	if err != nil {
		return "", err
	}
	s := i.project.Buildable(service)
	others := map[string]string{}
	for _, from := range s.Build.AdditionalContexts {
		if other, ok := strings.CutPrefix(from, "service:"); ok {
			if others[other], err = i.buildElsewhere(ctx, other, note); err != nil {
				return "", err
			}
		}
	}
	target := i.pushes[service].target
	if target == "" { // it is there for others alone
		sum := "for-others"
		if target, err = i.target(service, sum); err != nil || target == "" {
			return "", fmt.Errorf("services.%s is built for others, and there is no --registry to push it to", service)
		}
	}
	session, err := builder.NewSession(ctx, i.project, []string{service})
	if err != nil {
		return "", err
	}
	defer session.Close()
	if err := session.Connect(conn, service); err != nil {
		return "", err
	}
	registry, _, _ := strings.Cut(target, "/")
	digest, err := builder.New(controlapi.NewControlClient(conn), gatewayapi.NewLLBBridgeClient(conn)).Build(ctx, builder.Request{
		Project: i.project.Name, Dir: i.project.WorkingDir, Service: service, Build: s.Build, Platforms: s.BuiltFor(), Tag: target, Images: others,
		Session: session.IDs()[service], Places: i.project.Places, Mask: i.Mask,
		Options: builder.Options{NoCache: i.what.build, Push: true, Insecure: isLoopback(registry)},
	}, forward(note))
	if err != nil && strings.HasPrefix(err.Error(), "Unavailable: ") {
		_, why, _ := strings.Cut(err.Error(), "Error while dialing: ")
		return "", fmt.Errorf("cannot reach the builder %s: %s", i.what.builder, strings.Trim(why, `"`))
	}
	if err != nil {
		return "", err
	}
	ref = repository(target) + "@" + digest
	i.mu.Lock()
	if i.pushed == nil {
		i.pushed = map[string]string{}
	}
	i.pushed[service] = ref
	i.mu.Unlock()
	return ref, nil
}

// isLoopback says that a registry is one of this machine, which needs no TLS.
func isLoopback(registry string) bool {
	host, _, err := net.SplitHostPort(registry)
	if err != nil {
		host = registry
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
