package buildkit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"sync"

	resourcestypes "github.com/moby/buildkit/executor/resources/types"
	bknetwork "github.com/moby/buildkit/util/network"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/network"
)

// Network gives each RUN step a network namespace on a bridge that is
// made for the first one and goes with the last. What a step had is removed
// behind its back: the kernel takes a tenth of a second for it, and the next
// step need not wait.
type Network struct {
	networks *network.Manager
	name     string
	log      *slog.Logger

	mu      sync.Mutex
	steps   int // guarded by mu: namespaces in use
	leaving int // guarded by mu: those of ended steps that are not gone yet
	gone    sync.Cond
}

// NewNetwork gives the network of builds among networks.
func NewNetwork(networks *network.Manager, log *slog.Logger) *Network {
	b := &Network{networks: networks, name: "orlop-build", log: log}
	b.gone.L = &b.mu
	return b
}

var _ bknetwork.Provider = (*Network)(nil)

// New makes a namespace for one step.
func (b *Network) New(ctx context.Context, _ string, _ bknetwork.NamespaceOptions) (bknetwork.Namespace, error) {
	if err := b.enter(ctx); err != nil {
		return nil, err
	}
	raw := make([]byte, 16)
	rand.Read(raw)
	id := "build-" + hex.EncodeToString(raw)
	state, err := b.networks.CreateSandbox(ctx, id, network.Sandbox{
		Endpoints: []network.Endpoint{{Network: b.name}}, DNS: true,
	})
	if err != nil {
		b.leave()
		return nil, err
	}
	failpoint.Hit("buildkit/step-connected")
	return &buildSandbox{network: b, id: id, path: state.NetnsPath}, nil
}

// enter makes the bridge for the first step.
func (b *Network) enter(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.steps == 0 {
		if _, err := b.networks.EnsureNetwork(ctx, network.Spec{Name: b.name}); err != nil {
			return err
		}
	}
	b.steps++
	return nil
}

// gateway is the host's address on the bridge, which stays until leave is called.
func (b *Network) gateway(ctx context.Context) (address net.IP, leave func(), err error) {
	if err := b.enter(ctx); err != nil {
		return nil, nil, err
	}
	n, ok := b.networks.Network(b.name)
	if !ok {
		b.leave()
		return nil, nil, fmt.Errorf("internal error: no network %s", b.name)
	}
	return n.Gateway.AsSlice(), b.leave, nil
}

// leave removes the bridge after the last step.
func (b *Network) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.steps--; b.steps > 0 {
		return
	}
	if err := b.networks.RemoveNetwork(context.Background(), b.name); err != nil {
		b.log.Warn("cannot remove the network of builds", "error", err)
	}
}

// Wait waits until what ended steps had is gone.
func (b *Network) Wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.leaving > 0 {
		b.gone.Wait()
	}
}

// Sweep removes the bridge of an engine that was killed under a step. There is
// none of ours yet, and its namespaces are gone.
func (b *Network) Sweep() {
	if err := b.networks.RemoveNetwork(context.Background(), b.name); err != nil {
		b.log.Warn("cannot remove the network of an earlier engine's builds", "error", err)
	}
}

// Close is called with BuildKit.
func (b *Network) Close() error {
	b.Wait()
	return nil
}

type buildSandbox struct {
	network *Network
	id      string
	path    string
}

// Set puts the namespace into a step's document.
func (s *buildSandbox) Set(doc *specs.Spec) error {
	for i := range doc.Linux.Namespaces {
		if doc.Linux.Namespaces[i].Type == specs.NetworkNamespace {
			doc.Linux.Namespaces[i].Path = s.path
			return nil
		}
	}
	doc.Linux.Namespaces = append(doc.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: s.path})
	return nil
}

// Close removes the namespace, in its own time.
func (s *buildSandbox) Close() error {
	s.network.mu.Lock()
	s.network.leaving++
	s.network.mu.Unlock()
	go s.remove()
	return nil
}

func (s *buildSandbox) remove() {
	b := s.network
	if err := b.networks.RemoveSandbox(context.Background(), s.id); err != nil {
		b.log.Warn("cannot remove the network of a build step", "step", s.id, "error", err)
	}
	failpoint.Hit("buildkit/step-disconnected")
	b.leave()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leaving--; b.leaving == 0 {
		b.gone.Broadcast()
	}
}

// Sample has nothing to tell.
func (s *buildSandbox) Sample() (*resourcestypes.NetworkSample, error) { return nil, nil }
