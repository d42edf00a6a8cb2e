package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	shimapi "github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/failpoint"
)

// start starts the process. Its address is known before, and noted: an
// engine that is killed in the middle leaves word of it to the next one.
func (p *Pool) start(ctx context.Context, s *Shim) error {
	name := filepath.Base(s.dir)
	err := os.MkdirAll(s.dir, 0o700)
	var address string
	if err == nil {
		address, err = shimapi.CreateSocketAddress(ctx, p.Sockets, p.Address, name, false)
	}
	if err == nil {
		err = p.note(s, address)
	}
	if err == nil {
		err = p.run(ctx, name, s)
		if err != nil {
			err = errors.Join(err, p.end(ctx, s.dir, s.address))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot start the parent process of %s's containers: %w", s.project, err)
	}
	return nil
}

// note notes where a shim answers, and leaves word of it in its directory.
func (p *Pool) note(s *Shim, address string) error {
	p.mu.Lock()
	s.address = address
	p.mu.Unlock()
	doc, err := json.Marshal(document{Project: s.project, Address: address, Program: s.program})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "shim.json"), doc, 0o600)
}

// run calls the program as containerd does (its runtime v2 README,
// "start"), which prints the address of the process that it leaves behind.
func (p *Pool) run(ctx context.Context, name string, s *Shim) error {
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return err
	}
	stdin, err := proto.Marshal(&bootapi.BootstrapParams{
		InstanceID: name, Namespace: ns, SocketDir: &p.Sockets, ContainerdBinary: os.Args[0],
		ContainerdGrpcAddress: p.Address, ContainerdTtrpcAddress: p.Events,
	})
	if err != nil {
		return err
	}
	for file, text := range map[string]string{"config.json": "{}", "log": ""} {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	out, err := p.call(ctx, p.path(s.program), ns, s.dir, stdin, "-address", p.Address, "-publish-binary", os.Args[0], "-id", name, "start")
	if err != nil {
		return err
	}
	failpoint.Hit("shim/started")
	var result bootapi.BootstrapResult
	if err := proto.Unmarshal(out, &result); err != nil {
		return fmt.Errorf("what it printed can't be read: %w", err)
	}
	if result.Address != s.address {
		return p.note(s, result.Address)
	}
	return nil
}

// call calls a program for a namespace, and gives what it printed.
func (p *Pool) call(ctx context.Context, program, ns, dir string, stdin []byte, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), p.patience,
		fmt.Errorf("it did not start within %s: the machine is very busy; run the command again", p.patience))
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append([]string{"-namespace", ns}, args...)...)
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(stdin), &stderr
	cmd.Env = append(withoutProxies(os.Environ()), "GOMAXPROCS=2", "MAX_SHIM_VERSION=3",
		"TTRPC_ADDRESS="+p.Events, "GRPC_ADDRESS="+p.Address, "NAMESPACE="+ns)
	// What starts the process ends with the engine, so that the next one finds
	// either a process that answers or none. The signal comes with the end of
	// the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// end asks a shim to end; one that has tasks goes on.
func (p *Pool) end(ctx context.Context, dir, address string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	client, err := dial(ctx, address)
	if err == nil {
		defer client.Close()
		_, err = taskapi.NewTTRPCTaskClient(client).Shutdown(ctx, &taskapi.ShutdownRequest{ID: filepath.Base(dir)})
		if errors.Is(err, ttrpc.ErrClosed) {
			err = nil // it was faster to end than to answer
		} else if err == nil {
			// It says yes and goes on while it has a task that we don't know of.
			err = client.UserOnCloseWait(ctx)
		}
	} else if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		err = nil // it has ended
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func dial(ctx context.Context, address string) (*ttrpc.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		return nil, err
	}
	return ttrpc.NewClient(conn), nil
}

// withoutProxies is an environment without proxies: a shim asks nobody, lives long, and a
// login may stand in them.
func withoutProxies(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return strings.HasSuffix(strings.ToUpper(name), "_PROXY")
	})
}
