package builder

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/staticfs"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/spec"
)

// Names under which a session lends directories; each service has a session
// of its own, for BuildKit's frontend fixes the first.
const (
	contextName    = "context"
	dockerfileName = "dockerfile"
)

func extraName(name string) string { return "extra-" + name }

// inlineName is the file name of a dockerfile_inline.
const inlineName = "Dockerfile"

func dockerfileBase(b *spec.Build) string {
	if b.DockerfileInline != "" {
		return inlineName
	}
	if spec.IsRemote(b.Context) {
		return dockerfileOf(b)
	}
	return filepath.Base(dockerfileOf(b))
}

func dockerfileOf(b *spec.Build) string {
	if b.Dockerfile == "" {
		return "Dockerfile"
	}
	return b.Dockerfile
}

// dockerfilePath is the absolute path of a service's Dockerfile.
func dockerfilePath(b *spec.Build) string {
	path := dockerfileOf(b)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(b.Context, path)
}

// Session lends the caller's files, secrets, ssh agent and registry
// credentials to BuildKit: a session of BuildKit's for each service, and one
// that lends credentials alone, for pulls. They have names from the start and
// are connected when a plan turns out to need them.
type Session struct {
	// Plain asks the engine whether a registry may be sent a login without TLS; it may
	// be nil: then none may.
	Plain func(ctx context.Context, engine *grpc.ClientConn, host string) bool

	sessions map[string]*session.Session // by service; "" lends credentials alone
	project  *spec.Project
	ledgers  []*ledger // of the connected ones
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu        sync.Mutex
	connected map[string]bool // guarded by mu
}

// NewSession prepares sessions for the builds of the services.
func NewSession(ctx context.Context, p *spec.Project, services []string) (*Session, error) {
	s := &Session{sessions: map[string]*session.Session{}, connected: map[string]bool{}, project: p}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, name := range append([]string{""}, services...) {
		if name != "" && p.Buildable(name).Build == nil {
			continue
		}
		inner, err := session.NewSession(ctx, "") // its shared key is told when it is connected
		if err != nil {
			return nil, fmt.Errorf("cannot prepare a build session: %w", err)
		}
		s.sessions[name] = inner
	}
	return s, nil
}

// IDs names the sessions to the engine, by service.
func (s *Session) IDs() map[string]string {
	ids := map[string]string{}
	for name, inner := range s.sessions {
		ids[name] = inner.ID()
	}
	return ids
}

// Connect connects the sessions of the services over a connection to the
// engine; "" is the one for pulls. Those that are connected stay as they are.
func (s *Session) Connect(conn *grpc.ClientConn, services ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range services {
		inner := s.sessions[name]
		if inner == nil || s.connected[name] {
			continue
		}
		key := ""
		if name != "" {
			l := openLedger(conn.Target(), s.project.WorkingDir, name)
			s.ledgers, key = append(s.ledgers, l), l.key
			dirs, secrets, err := s.lend(name, l)
			if err != nil {
				return err
			}
			inner.Allow(filesync.NewFSSyncProvider(dirs))
			inner.Allow(secretsprovider.FromMap(secrets))
			agents, err := s.agents(name)
			if err != nil {
				return err
			}
			if agents != nil {
				inner.Allow(agents)
			}
		}
		inner.Allow(credentials(func(ctx context.Context, host string) bool { return s.Plain != nil && s.Plain(ctx, conn, host) }))
		s.connected[name] = true
		s.running.Go(func() {
			keepConnected(s.ctx, func() error { return inner.Run(s.ctx, dialer(conn, key)) })
		})
	}
	return nil
}

// A session that was cut is connected again: HTTP/2 gives the engine two seconds for
// its first word, which may be too little where a machine is very busy.
const (
	mostReconnections = 10
	reconnectPause    = 100 * time.Millisecond
)

// keepConnected runs a session again while it is cut, until ctx ends or the engine
// can't be reached.
func keepConnected(ctx context.Context, run func() error) {
	for range mostReconnections {
		if err := run(); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(reconnectPause):
		}
	}
}

// sharedKeyHeader is the header in which a session tells its shared key: BuildKit
// keeps what it was lent under it and asks a session of the same key only for
// what has changed since.
const sharedKeyHeader = "X-Docker-Expose-Session-Sharedkey"

// dialer connects a session under a shared key.
func dialer(conn *grpc.ClientConn, key string) session.Dialer {
	dial := grpchijack.Dialer(controlapi.NewControlClient(conn))
	return func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
		meta[sharedKeyHeader] = []string{key}
		return dial(ctx, proto, meta)
	}
}

// Close ends the sessions.
func (s *Session) Close() {
	s.cancel() // first: one that is just being connected would wait for the other side's end
	s.mu.Lock()
	for name, inner := range s.sessions {
		if s.connected[name] {
			inner.Close()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
	for _, l := range s.ledgers {
		l.save()
	}
}

// lend collects the directories and secrets of a service's build.
func (s *Session) lend(service string, l *ledger) (filesync.StaticDirSource, map[string][]byte, error) {
	dirs := filesync.StaticDirSource{}
	b := s.project.Buildable(service).Build
	for name, dir := range paths(b) {
		fs, err := fsutil.NewFS(dir)
		if err == nil {
			fs, err = fsutil.NewFilterFS(fs, &fsutil.FilterOpt{Map: resetOwner})
		}
		if err != nil {
			return nil, nil, fmt.Errorf("services.%s.build: cannot read %s: %w", service, dir, err)
		}
		dirs[name] = lent{fs, l, dir}
	}
	if b.DockerfileInline != "" {
		dirs[dockerfileName] = inlined(b.DockerfileInline)
	}
	secrets := map[string][]byte{}
	for _, use := range b.Secrets {
		id := use.Target
		if id == "" {
			id = use.Source
		}
		if payload, ok := s.project.Payloads["secrets."+use.Source]; ok {
			secrets[id] = payload.Content
		}
	}
	return dirs, secrets, nil
}

// paths are the directories that a build reads, by the names that the
// frontend knows them by.
func paths(b *spec.Build) map[string]string {
	paths := map[string]string{}
	if !spec.IsRemote(b.Context) {
		paths[contextName] = b.Context
	}
	if !spec.IsRemote(b.Context) && b.DockerfileInline == "" {
		paths[dockerfileName] = filepath.Dir(dockerfilePath(b))
	}
	for name, from := range b.AdditionalContexts {
		if filepath.IsAbs(from) {
			paths[extraName(name)] = from
		}
	}
	return paths
}

// inlined is a directory with a dockerfile_inline, which is on no disk. BuildKit takes a
// file for unchanged where its size and time are: its time is that of the command.
func inlined(text string) fsutil.FS {
	dir := staticfs.NewFS()
	dir.Add(inlineName, &types.Stat{Mode: 0o600, ModTime: time.Now().UnixNano()}, []byte(text))
	return dir
}
