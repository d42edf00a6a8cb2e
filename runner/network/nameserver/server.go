// Package nameserver answers the DNS queries of sandboxes: names of those who
// are on the same networks from a table, all others by the host's resolvers, or by
// those that a sandbox has of its own.
package nameserver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxQuery is the largest query that is read; queries carry one question.
	maxQuery = 4096
	// maxForwards bounds the queries of one sandbox that wait for the host's
	// resolvers.
	maxForwards = 128
	// maxStreams bounds the TCP connections to one name server.
	maxStreams = 64
	streamIdle = 10 * time.Second
	// nameTTL is what a resolver may remember: nothing, for containers move.
	nameTTL = 0
)

// Sockets are the sockets of one name server; the zero value has none.
type Sockets struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

// Close closes them. Copies that are kept elsewhere stay open.
func (s Sockets) Close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
}

// Open opens a name server's sockets at an address in the network namespace of
// the calling thread, on ports that the kernel picks.
func Open(addr netip.Addr) (Sockets, error) {
	var s Sockets
	var err error
	s.udp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: addr.AsSlice()})
	if err == nil {
		s.tcp, err = listenTCP(addr)
	}
	if err != nil {
		s.Close()
		return Sockets{}, fmt.Errorf("cannot open a name server: %w", err)
	}
	return s, nil
}

// Ports are where the sockets listen.
func (s Sockets) Ports() (udp, tcp uint16) {
	return uint16(s.udp.LocalAddr().(*net.UDPAddr).Port), uint16(s.tcp.Addr().(*net.TCPAddr).Port)
}

// SyscallConn is one of the sockets, for who looks for their network namespace.
func (s Sockets) SyscallConn() (syscall.RawConn, error) { return s.udp.SyscallConn() }

// listenTCP opens a plain TCP socket: Go's own default is multipath TCP.
func listenTCP(addr netip.Addr) (*net.TCPListener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp4", netip.AddrPortFrom(addr, 0).String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// Files returns the sockets as files, which the caller closes.
func (s Sockets) Files() ([]*os.File, error) {
	udp, err := s.udp.File()
	if err != nil {
		return nil, err
	}
	tcp, err := s.tcp.File()
	if err != nil {
		udp.Close()
		return nil, err
	}
	return []*os.File{udp, tcp}, nil
}

// SocketsOf is the inverse of Files; it closes them.
func SocketsOf(files []*os.File) (Sockets, error) {
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if len(files) != 2 {
		return Sockets{}, fmt.Errorf("kept are %d sockets of 2", len(files))
	}
	packet, err := net.FilePacketConn(files[0])
	if err != nil {
		return Sockets{}, err
	}
	listener, err := net.FileListener(files[1])
	if err != nil {
		packet.Close()
		return Sockets{}, err
	}
	udp, isUDP := packet.(*net.UDPConn)
	tcp, isTCP := listener.(*net.TCPListener)
	if !isUDP || !isTCP {
		packet.Close()
		listener.Close()
		return Sockets{}, errors.New("kept are other sockets")
	}
	return Sockets{udp, tcp}, nil
}

// View is what one sandbox may know.
type View struct {
	// Networks are those that it is on, Subnets theirs: nobody outside is asked for
	// the names of addresses in them.
	Networks []string
	Subnets  []netip.Prefix
	// Extra are names, in lower case, that resolve in it alone.
	Extra map[string][]netip.Addr
	// Links are more such names: each stands for whoever has one of others on the
	// sandbox's networks, the first that anybody has.
	Links map[string][]string
	// External says that it is on a network with a way out: the host's resolvers are
	// asked for what is not known here.
	External bool
	// Upstreams are the sandbox's own resolvers, asked in place of the host's. Dial
	// reaches them from where the sandbox is: what it can't reach, they are not.
	Upstreams []netip.AddrPort
	Dial      Dial
}

// asksOutside says that somebody is asked for what is not known here.
func (v *View) asksOutside() bool { return v.External || len(v.Upstreams) > 0 }

// Resolver answers the queries of all sandboxes.
type Resolver struct {
	forwarder *forwarder
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu    sync.RWMutex // guards names
	names *table
	turn  uint64
}

// New makes a resolver that asks upstreams, or the servers of the host's
// resolv.conf where that is nil, for names of the outside.
func New(upstreams func() []netip.AddrPort, log *slog.Logger) *Resolver {
	ctx, cancel := context.WithCancel(context.Background())
	return &Resolver{forwarder: newForwarder(upstreams, log), ctx: ctx, cancel: cancel, names: newTable()}
}

// Add makes a host known.
func (r *Resolver) Add(h Host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.add(h)
}

// Remove forgets a host.
func (r *Resolver) Remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.remove(id)
}

// SetActive makes the names of a host resolve, or stop resolving.
func (r *Resolver) SetActive(id string, active bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.setActive(id, active)
}

// Wait cancels what is being forwarded and waits for every query and server; those
// are closed before.
func (r *Resolver) Wait() {
	r.cancel()
	r.wg.Wait()
}

// Server is the name server of one sandbox.
type Server struct {
	resolver *Resolver
	view     atomic.Pointer[View]
	socks    Sockets
	forwards chan struct{}

	mu      sync.Mutex
	closed  bool
	streams map[net.Conn]bool
}

// Serve begins to answer a sandbox's queries.
func (r *Resolver) Serve(socks Sockets, v View) *Server {
	d := &Server{
		resolver: r, socks: socks,
		forwards: make(chan struct{}, maxForwards), streams: map[net.Conn]bool{},
	}
	d.Show(v)
	r.wg.Go(d.serveUDP)
	r.wg.Go(d.serveTCP)
	return d
}

// Show changes what its sandbox may know, for queries that come from now on. Nobody asks a
// server that is nil.
func (d *Server) Show(v View) {
	if d != nil {
		d.view.Store(&v)
	}
}

// Sockets are those that it answers at.
func (d *Server) Sockets() Sockets { return d.socks }

// Close stops answering. Copies of the sockets that are kept elsewhere go on
// collecting queries.
func (d *Server) Close() {
	d.socks.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.streams {
		c.Close()
	}
}

func (d *Server) serveUDP() {
	buf := make([]byte, maxQuery)
	for {
		n, from, err := d.socks.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // closed
		}
		query := new(dns.Msg)
		if query.Unpack(buf[:n]) != nil || query.Response {
			continue // not worth an answer, which could be reflected
		}
		if reply, ok := d.resolver.answer(*d.view.Load(), query); ok {
			d.reply(query, reply, from)
			continue
		}
		select {
		case d.forwards <- struct{}{}:
			d.resolver.wg.Go(func() {
				defer func() { <-d.forwards }()
				d.reply(query, d.resolver.forward(*d.view.Load(), query), from)
			})
		default: // overrun: the client asks again
		}
	}
}

func (d *Server) reply(query, reply *dns.Msg, to netip.AddrPort) {
	reply.Truncate(udpSize(query))
	if packed, err := reply.Pack(); err == nil {
		// The client may be gone.
		_, _ = d.socks.udp.WriteToUDPAddrPort(packed, to)
	}
}

// udpSize is the largest answer that a client takes by UDP.
func udpSize(query *dns.Msg) int {
	if opt := query.IsEdns0(); opt != nil {
		return max(dns.MinMsgSize, int(opt.UDPSize()))
	}
	return dns.MinMsgSize
}

func (d *Server) serveTCP() {
	for {
		c, err := d.socks.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select { // no descriptor left; a later attempt may find one
			case <-time.After(50 * time.Millisecond):
				continue
			case <-d.resolver.ctx.Done():
				return
			}
		}
		if !d.track(c) {
			c.Close()
			continue
		}
		d.resolver.wg.Go(func() {
			defer d.untrack(c)
			d.serveStream(c)
		})
	}
}

func (d *Server) track(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.streams) >= maxStreams {
		return false
	}
	d.streams[c] = true
	return true
}

func (d *Server) untrack(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.streams, c)
	c.Close()
}

func (d *Server) serveStream(c net.Conn) {
	stream := &dns.Conn{Conn: c}
	for {
		if c.SetDeadline(time.Now().Add(streamIdle)) != nil {
			return
		}
		query, err := stream.ReadMsg()
		if err != nil || query.Response {
			return
		}
		reply, ok := d.resolver.answer(*d.view.Load(), query)
		if !ok {
			reply = d.resolver.forward(*d.view.Load(), query)
		}
		if stream.WriteMsg(reply) != nil {
			return
		}
	}
}

// forward has the sandbox's own resolvers answer, or the host's where it has none.
func (r *Resolver) forward(v View, query *dns.Msg) *dns.Msg {
	if len(v.Upstreams) > 0 {
		own := forwarder{upstreams: func() []netip.AddrPort { return v.Upstreams }, dial: v.Dial}
		return own.forward(r.ctx, query)
	}
	return r.forwarder.forward(r.ctx, query)
}

// answer answers one query as a sandbox may see the world, or reports that it
// is to be forwarded. It waits for nothing.
func (r *Resolver) answer(v View, query *dns.Msg) (reply *dns.Msg, ok bool) {
	reply = new(dns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	if query.Opcode != dns.OpcodeQuery {
		reply.Rcode = dns.RcodeNotImplemented
		return reply, true
	}
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		return reply, true
	}
	if !r.local(v, query.Question[0], reply) {
		return nil, false
	}
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(maxQuery, opt.Do())
	}
	return reply, true
}

// local answers what is ours to answer and reports whether it was. Other names are
// the business of the resolvers outside, but for those who have no way out. A name
// without a dot is no business of the host's: it may be one of a stack that is down.
func (r *Resolver) local(v View, q dns.Question, reply *dns.Msg) bool {
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if addr, ok := reverseAddr(name); ok {
		return r.localReverse(v, q, addr, reply)
	}
	if addrs, ok := v.Extra[name]; ok {
		appendAddrs(reply, q, addrs)
		return true
	}
	r.mu.Lock()
	addrs, known := r.names.lookup(v.Networks, name)
	for _, target := range v.Links[name] {
		if addrs, known = r.names.lookup(v.Networks, strings.ToLower(target)); known {
			break
		}
	}
	known = known || v.Links[name] != nil
	r.turn++
	turn := int(r.turn % uint64(max(len(addrs), 1)))
	r.mu.Unlock()
	switch {
	case len(addrs) > 0:
		appendAddrs(reply, q, append(addrs[turn:len(addrs):len(addrs)], addrs[:turn]...))
		return true
	case known, !v.asksOutside(), len(v.Upstreams) == 0 && !strings.Contains(name, "."):
		reply.Rcode = dns.RcodeNameError
		return true
	}
	return false
}

func (r *Resolver) localReverse(v View, q dns.Question, addr netip.Addr, reply *dns.Msg) bool {
	r.mu.RLock()
	name, ok := r.names.reverse(v.Networks, addr)
	r.mu.RUnlock()
	if ok {
		if q.Qtype == dns.TypePTR {
			reply.Answer = append(reply.Answer, &dns.PTR{Hdr: header(q, dns.TypePTR), Ptr: dns.Fqdn(name)})
		}
		return true
	}
	isOurs := slices.ContainsFunc(v.Subnets, func(p netip.Prefix) bool { return p.Contains(addr) })
	if isOurs || !v.asksOutside() {
		reply.Rcode = dns.RcodeNameError
		return true
	}
	return false
}

func header(q dns.Question, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: q.Name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: nameTTL}
}

// appendAddrs adds the addresses of the kind that was asked for; other kinds
// of records of a name that exists are an empty answer.
func appendAddrs(reply *dns.Msg, q dns.Question, addrs []netip.Addr) {
	for _, a := range addrs {
		switch a = a.Unmap(); {
		case a.Is4() && q.Qtype == dns.TypeA:
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header(q, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && q.Qtype == dns.TypeAAAA:
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header(q, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
}

// reverseAddr parses 4.3.2.1.in-addr.arpa, and what there is of IPv6 (RFC 3596, 2.5).
func reverseAddr(name string) (netip.Addr, bool) {
	if nibbles, ok := strings.CutSuffix(name, ".ip6.arpa"); ok {
		return reverseAddr6(nibbles)
	}
	labels, ok := strings.CutSuffix(name, ".in-addr.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(labels)
	if err != nil || !addr.Is4() {
		return netip.Addr{}, false
	}
	b := addr.As4()
	return netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), true
}

// reverseAddr6 parses 32 hexadecimal digits, the last one first, with dots between.
func reverseAddr6(nibbles string) (netip.Addr, bool) {
	digits := strings.Split(nibbles, ".")
	slices.Reverse(digits)
	b, err := hex.DecodeString(strings.Join(digits, ""))
	if err != nil || len(b) != 16 || len(digits) != 32 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(b)), true
}
