// Package network gives containers their place on the network: bridges with
// addresses, network namespaces with names that resolve, and a firewall that keeps
// networks apart. (Published ports are listeners of the keeper, not of a network.)
//
// It knows nothing of containerd. All of it is done by netlink, nftables and
// sockets; no program is run. It works relative to the network namespace of
// the process that opened it (called the host here), changes nothing there but
// its own links and its own nftables tables, and says in docs where a host
// forces it to do more (see package firewall). Two managers
// with different IDs share a host without touching each other.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/firewall"
	"github.com/orlop/orlop/runner/network/kernel"
	"github.com/orlop/orlop/runner/network/links"
	"github.com/orlop/orlop/runner/network/nameserver"
	"github.com/orlop/orlop/runner/network/pool"
)

// Sockets keeps descriptors while the engine is away; *keeper.Conn and
// *keeper.Holdings do it.
type Sockets interface {
	Keep(ctx context.Context, key string, files ...*os.File) error
	Take(ctx context.Context, key string) ([]*os.File, error)
	Drop(ctx context.Context, key string) error
}

// Config says how a Manager works.
type Config struct {
	// ID tells the links and tables of this engine from those of another on the
	// same host: one to six lower-case letters or digits. Required.
	ID string
	// StateDir holds the namespaces' mount points and what was allocated. It
	// should be gone after a reboot, as its contents are. Required.
	StateDir string
	// Pools are the ranges from which networks get their subnets, tried in
	// order. Without any of IPv4 they are those of pool.Default, without any of IPv6
	// it is the one that OwnRange keeps.
	Pools []netip.Prefix
	// OwnRange is the file that the range of our own is kept in. It outlives a reboot.
	OwnRange string
	// Sockets holds the DNS sockets while the engine is away; nil: nobody does.
	Sockets Sockets
	// Upstreams returns the resolvers to which other names are forwarded; nil
	// means those of the host's /etc/resolv.conf, as it then is.
	Upstreams func() []netip.AddrPort
	Log       *slog.Logger
}

// Spec is a network to be.
type Spec struct {
	Name string
	// Bridge is what the bridge is called; "" is a name of ours.
	Bridge string
	// NoIPv4 and IPv6 say of which families its addresses are: of one at least.
	NoIPv4, IPv6 bool
	// Subnet is picked from the pools when it is not valid, and Gateway is its
	// first address then. Subnet6 and Gateway6 are those of IPv6.
	Subnet, Subnet6   netip.Prefix
	Gateway, Gateway6 netip.Addr
	// Containers is how many there are to be on it: a subnet that is picked has room
	// for them.
	Containers int
	// Range is the part of Subnet that addresses are handed out of to those who
	// ask for none in particular; the zero Prefix is all of it. So is Range6.
	Range, Range6 netip.Prefix
	// Internal networks have no way out, and none in.
	Internal bool
	Labels   map[string]string
	Options
}

// Options are those of a network's bridge and its links.
type Options struct {
	// MTU is that of the bridge and all links to it; 0 is the kernel's.
	MTU int `json:"mtu,omitempty"`
	// InterfacePrefix begins the names of links inside of sandboxes; "" is InterfacePrefix.
	InterfacePrefix string `json:"interfacePrefix,omitempty"`
	// Isolated keeps the sandboxes on the network from reaching each other.
	Isolated bool `json:"isolated,omitempty"`
	// NoMasquerade leaves what goes out its own addresses.
	NoMasquerade bool `json:"noMasquerade,omitempty"`
	// NoAddress leaves the bridge without one: the gateway is somebody else. So does
	// NoAddress6, of IPv6.
	NoAddress  bool `json:"noAddress,omitempty"`
	NoAddress6 bool `json:"noAddress6,omitempty"`
	// HostBinding is where published ports that name no address are bound; nobody
	// here does that.
	HostBinding netip.Addr `json:"hostBinding,omitzero"`
	// Driver is Macvlan or IPvlan; "" is a bridge. The others have a Parent, a link of the
	// machine, and a Mode and a Flag in the words of Docker, "" for the usual one.
	Driver string `json:"driver,omitempty"`
	Parent string `json:"parent,omitempty"`
	Mode   string `json:"mode,omitempty"`
	Flag   string `json:"flag,omitempty"`
	// Aux are addresses of the subnets that others have.
	Aux []netip.Addr `json:"aux,omitempty"`
}

// Network is a network as it is. What it has no addresses of is not valid.
type Network struct {
	Name     string            `json:"name"`
	Bridge   string            `json:"bridge"`
	Subnet   netip.Prefix      `json:"subnet"`
	Gateway  netip.Addr        `json:"gateway"`
	Subnet6  netip.Prefix      `json:"subnet6,omitzero"`
	Gateway6 netip.Addr        `json:"gateway6,omitzero"`
	Internal bool              `json:"internal,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	// MadeParent says that the parent is ours to make, and to remove.
	MadeParent bool `json:"madeParent,omitempty"`
	Options
}

// Manager owns the networks and sandboxes of one engine. Its methods may be
// called from any goroutine.
type Manager struct {
	cfg      Config
	links    *netlink.Handle
	firewall *firewall.Firewall
	resolver *nameserver.Resolver
	reaper   *links.Reaper

	follower *Follower // nil: nobody is told

	// netMu serializes changes of networks; they touch shared tables.
	netMu sync.Mutex

	// inspecting is held, by any number of looks, while the guard looks at a sandbox or mends it; see awaitGuard, LeaveAlone.
	inspecting sync.RWMutex

	// recordMu serializes the records of sandboxes.
	recordMu sync.Mutex

	mu        sync.Mutex // guards what follows; never held across a system call
	networks  map[string]*network
	sandboxes map[string]*sandbox
	linkNames map[string]bool
	reserved  map[string]map[string][]netip.Addr // owner -> network -> addresses
	inside    map[kernel.Namespace]*sandbox
	listener  *kernel.Listener // nil: nobody tells of changes
	seen      bool             // nothing of networks has happened here since they were looked at
}

// network is a Network with the addresses in use on it; what it has none of is nil.
type network struct {
	Network
	addrs, addrs6 *pool.Pool
}

var validID = regexp.MustCompile(`^[a-z0-9]{1,6}$`)

// linkPrefix begins the name of every link of the engine.
func (m *Manager) linkPrefix() string { return linkPrefix(m.cfg.ID) }

func linkPrefix(id string) string { return "or" + id }

// Open starts managing: it adopts what an earlier manager with the same ID and
// StateDir left (networks, sandboxes, their addresses, names and DNS sockets),
// repairs what of it is damaged, and removes what is only half there.
func Open(ctx context.Context, cfg Config) (*Manager, error) {
	if !validID.MatchString(cfg.ID) {
		return nil, fmt.Errorf("internal error: network ID %q: want one to six lower-case letters or digits", cfg.ID)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{networksDir, sandboxesDir, netnsDir} {
		if err := os.MkdirAll(filepath.Join(cfg.StateDir, dir), 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the directory of the networks: %w", err)
		}
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netlink socket for links: %w", err)
	}
	m := &Manager{
		cfg: cfg, links: handle, reaper: links.NewReaper(handle),
		firewall:  firewall.New(cfg.ID, linkPrefix(cfg.ID), func(link string) bool { return isLinkName(link, linkPrefix(cfg.ID)) }, cfg.Log),
		networks:  map[string]*network{},
		sandboxes: map[string]*sandbox{},
		linkNames: map[string]bool{},
		reserved:  map[string]map[string][]netip.Addr{}, inside: map[kernel.Namespace]*sandbox{},
	}
	m.resolver = nameserver.New(cfg.Upstreams, cfg.Log)
	if err := m.adopt(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close stops answering and leaves everything in place: the next Open adopts
// it, and queries wait meanwhile if the sockets are kept.
func (m *Manager) Close() error {
	m.mu.Lock()
	var servers []*nameserver.Server
	for _, s := range m.sandboxes {
		if s.dns != nil {
			servers = append(servers, s.dns)
		}
	}
	m.mu.Unlock()
	for _, s := range servers {
		s.Close()
	}
	m.resolver.Wait()
	m.links.Close()
	return nil
}

// Networks lists the networks, in no order.
func (m *Manager) Networks() []Network {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]Network, 0, len(m.networks))
	for _, n := range m.networks {
		list = append(list, n.Network)
	}
	return list
}
