package nameserver

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// upstreamTimeout bounds one question to one resolver, forwardTimeout the
	// whole: a container's resolver gives up after five seconds.
	upstreamTimeout = 2 * time.Second
	forwardTimeout  = 4500 * time.Millisecond
	resolvConf      = "/etc/resolv.conf"
)

// Dial opens a connection ("udp" or "tcp") to a resolver.
type Dial func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error)

// forwarder asks the host's resolvers, from the host's network namespace, so
// that one on a loopback address works too; or those of a sandbox, from its own.
type forwarder struct {
	upstreams func() []netip.AddrPort
	dial      Dial
}

func newForwarder(upstreams func() []netip.AddrPort, log *slog.Logger) *forwarder {
	if upstreams == nil {
		upstreams = (&hostResolvers{file: resolvConf, log: log}).list
	}
	return &forwarder{upstreams, dialHere}
}

// dialHere connects from the network namespace of this process.
func dialHere(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, to.String())
}

// forward returns the answer of the first resolver that has one, or SERVFAIL.
func (f *forwarder) forward(ctx context.Context, query *dns.Msg) *dns.Msg {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	ask := query.Copy()
	ask.Id = dns.Id() // the client's choice need not be hard to guess
	var refusal *dns.Msg
	for _, upstream := range f.upstreams() {
		reply, err := f.exchange(ctx, ask, upstream)
		if err != nil {
			continue
		}
		reply.Id = query.Id
		if reply.Rcode != dns.RcodeServerFailure && reply.Rcode != dns.RcodeRefused {
			return reply
		}
		refusal = reply
	}
	if refusal != nil {
		return refusal
	}
	failure := new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
	failure.RecursionAvailable = true
	return failure
}

// exchange asks by UDP, and again by TCP if the answer did not fit.
func (f *forwarder) exchange(ctx context.Context, query *dns.Msg, upstream netip.AddrPort) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, upstreamTimeout)
	defer cancel()
	reply, err := f.exchangeBy(ctx, "udp", query, upstream)
	if err != nil || !reply.Truncated {
		return reply, err
	}
	if whole, err := f.exchangeBy(ctx, "tcp", query, upstream); err == nil {
		return whole, nil
	}
	return reply, nil
}

func (f *forwarder) exchangeBy(ctx context.Context, network string, query *dns.Msg, upstream netip.AddrPort) (*dns.Msg, error) {
	c, err := f.dial(ctx, network, upstream)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	client := &dns.Client{Net: network, Timeout: upstreamTimeout, UDPSize: uint16(min(udpSize(query), dns.MaxMsgSize-1))}
	reply, _, err := client.ExchangeWithConnContext(ctx, query, &dns.Conn{Conn: c, UDPSize: client.UDPSize})
	return reply, err
}

// hostResolvers reads the host's resolv.conf again whenever it has changed.
type hostResolvers struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	read    os.FileInfo
	servers []netip.AddrPort
}

func (h *hostResolvers) list() []netip.AddrPort {
	h.mu.Lock()
	defer h.mu.Unlock()
	fi, err := os.Stat(h.file)
	if err != nil {
		return h.servers // being replaced: the last ones serve until it is back
	}
	if h.read != nil && os.SameFile(fi, h.read) && fi.ModTime().Equal(h.read.ModTime()) && fi.Size() == h.read.Size() {
		return h.servers
	}
	conf, err := dns.ClientConfigFromFile(h.file)
	if err != nil {
		h.log.Warn("cannot read the host's resolvers; the last ones are used", "file", h.file, "error", err)
		return h.servers
	}
	h.read, h.servers = fi, nil
	for _, s := range conf.Servers {
		if ap, err := netip.ParseAddrPort(net.JoinHostPort(s, conf.Port)); err == nil {
			h.servers = append(h.servers, ap)
		}
	}
	return h.servers
}
