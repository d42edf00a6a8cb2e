package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
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

func dnsKey(id string) string { return "dns/" + id }

// dnsSockets are the sockets of one sandbox's name server.
type dnsSockets struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

func (s dnsSockets) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
}

// openDNS opens a name server's sockets in the network namespace of the calling
// thread and redirects port 53 to them, in place of earlier ones if there were.
func openDNS(replace bool) (dnsSockets, error) {
	addr := netip.MustParseAddr(NameServer)
	var s dnsSockets
	var err error
	s.udp, err = net.ListenUDP("udp4", &net.UDPAddr{IP: addr.AsSlice()})
	if err == nil {
		s.tcp, err = listenTCP(addr)
	}
	if err == nil {
		err = s.redirect(replace)
	}
	if err != nil {
		s.close()
		return dnsSockets{}, fmt.Errorf("cannot open a name server: %w", err)
	}
	return s, nil
}

// redirect leads port 53 to the sockets in the network namespace of the calling
// thread, which is theirs.
func (s dnsSockets) redirect(replace bool) error {
	return redirectDNS(netip.MustParseAddr(NameServer), map[byte]uint16{
		unix.IPPROTO_UDP: uint16(s.udp.LocalAddr().(*net.UDPAddr).Port),
		unix.IPPROTO_TCP: uint16(s.tcp.Addr().(*net.TCPAddr).Port),
	}, replace)
}

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

// files returns the sockets as files, which the caller closes.
func (s dnsSockets) files() ([]*os.File, error) {
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

// socketsOf is the inverse of files; it closes them.
func socketsOf(files []*os.File) (dnsSockets, error) {
	defer closeAll(files)
	if len(files) != 2 {
		return dnsSockets{}, fmt.Errorf("kept are %d sockets of 2", len(files))
	}
	packet, err := net.FilePacketConn(files[0])
	if err != nil {
		return dnsSockets{}, err
	}
	listener, err := net.FileListener(files[1])
	if err != nil {
		packet.Close()
		return dnsSockets{}, err
	}
	udp, isUDP := packet.(*net.UDPConn)
	tcp, isTCP := listener.(*net.TCPListener)
	if !isUDP || !isTCP {
		packet.Close()
		listener.Close()
		return dnsSockets{}, errors.New("kept are other sockets")
	}
	return dnsSockets{udp, tcp}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// serveNames starts a sandbox's name server, and has its sockets kept if that
// is new to the keeper.
func (m *Manager) serveNames(ctx context.Context, s *sandbox, socks dnsSockets, keep bool) error {
	if keep && m.cfg.Sockets != nil {
		files, err := socks.files()
		if err == nil {
			err = m.cfg.Sockets.Keep(ctx, dnsKey(s.ID), files...)
			closeAll(files)
		}
		if err != nil {
			socks.close()
			return fmt.Errorf("cannot have the name server kept: %w", err)
		}
	}
	v := view{extra: map[string][]netip.Addr{}}
	for name, addrs := range s.Spec.ExtraHosts {
		v.extra[strings.ToLower(name)] = addrs
	}
	m.mu.Lock()
	for _, e := range s.Endpoints {
		v.networks = append(v.networks, e.Network)
		n, ok := m.networks[e.Network]
		if !ok {
			continue
		}
		v.subnets = append(v.subnets, n.Subnet)
		v.external = v.external || !n.Internal
	}
	s.dns = m.resolver.serve(socks, v)
	m.mu.Unlock()
	return nil
}

// view is what one sandbox may know.
type view struct {
	networks []string
	subnets  []netip.Prefix
	extra    map[string][]netip.Addr
	external bool // it is on a network with a way out
}

// resolver answers the queries of all sandboxes.
type resolver struct {
	forwarder *forwarder
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu    sync.RWMutex // guards names
	names *nameTable
	turn  uint64
}

func newResolver(m *Manager, upstreams func() []netip.AddrPort) *resolver {
	ctx, cancel := context.WithCancel(context.Background())
	return &resolver{
		forwarder: newForwarder(upstreams, m.cfg.Log), ctx: ctx, cancel: cancel,
		names: newNameTable(),
	}
}

func (r *resolver) add(s *sandbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.add(s)
}

func (r *resolver) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.remove(id)
}

func (r *resolver) setActive(id string, active bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.setActive(id, active)
}

// wait cancels what is being forwarded and waits for every query and server.
func (r *resolver) wait() {
	r.cancel()
	r.wg.Wait()
}

// dnsServer is the name server of one sandbox.
type dnsServer struct {
	resolver *resolver
	view     view
	socks    dnsSockets
	forwards chan struct{}

	mu      sync.Mutex
	closed  bool
	streams map[net.Conn]bool
}

func (r *resolver) serve(socks dnsSockets, v view) *dnsServer {
	d := &dnsServer{
		resolver: r, view: v, socks: socks,
		forwards: make(chan struct{}, maxForwards), streams: map[net.Conn]bool{},
	}
	r.wg.Go(d.serveUDP)
	r.wg.Go(d.serveTCP)
	return d
}

// close stops answering. Copies of the sockets that are kept elsewhere go on
// collecting queries.
func (d *dnsServer) close() {
	d.socks.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for c := range d.streams {
		c.Close()
	}
}

func (d *dnsServer) serveUDP() {
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
		if reply, ok := d.resolver.answer(d.view, query); ok {
			d.reply(query, reply, from)
			continue
		}
		select {
		case d.forwards <- struct{}{}:
			d.resolver.wg.Go(func() {
				defer func() { <-d.forwards }()
				d.reply(query, d.resolver.forward(query), from)
			})
		default: // overrun: the client asks again
		}
	}
}

func (d *dnsServer) reply(query, reply *dns.Msg, to netip.AddrPort) {
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

func (d *dnsServer) serveTCP() {
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

func (d *dnsServer) track(c net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.streams) >= maxStreams {
		return false
	}
	d.streams[c] = true
	return true
}

func (d *dnsServer) untrack(c net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.streams, c)
	c.Close()
}

func (d *dnsServer) serveStream(c net.Conn) {
	stream := &dns.Conn{Conn: c}
	for {
		if c.SetDeadline(time.Now().Add(streamIdle)) != nil {
			return
		}
		query, err := stream.ReadMsg()
		if err != nil || query.Response {
			return
		}
		reply, ok := d.resolver.answer(d.view, query)
		if !ok {
			reply = d.resolver.forward(query)
		}
		if stream.WriteMsg(reply) != nil {
			return
		}
	}
}

// forward has the host's resolvers answer.
func (r *resolver) forward(query *dns.Msg) *dns.Msg { return r.forwarder.forward(r.ctx, query) }

// answer answers one query as a sandbox may see the world, or reports that it
// is to be forwarded. It waits for nothing.
func (r *resolver) answer(v view, query *dns.Msg) (reply *dns.Msg, ok bool) {
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

// local answers what is ours to answer and reports whether it was. Other names
// are the business of the host's resolvers, but for those who have no way out.
func (r *resolver) local(v view, q dns.Question, reply *dns.Msg) bool {
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if addr, ok := reverseAddr(name); ok {
		return r.localReverse(v, q, addr, reply)
	}
	if addrs, ok := v.extra[name]; ok {
		appendAddrs(reply, q, addrs)
		return true
	}
	r.mu.Lock()
	addrs, known := r.names.lookup(v.networks, name)
	r.turn++
	turn := int(r.turn % uint64(max(len(addrs), 1)))
	r.mu.Unlock()
	switch {
	case len(addrs) > 0:
		appendAddrs(reply, q, append(addrs[turn:len(addrs):len(addrs)], addrs[:turn]...))
		return true
	case known, !v.external, !strings.Contains(name, "."):
		reply.Rcode = dns.RcodeNameError
		return true
	}
	return false
}

func (r *resolver) localReverse(v view, q dns.Question, addr netip.Addr, reply *dns.Msg) bool {
	r.mu.RLock()
	name, ok := r.names.reverse(v.networks, addr)
	r.mu.RUnlock()
	if ok {
		if q.Qtype == dns.TypePTR {
			reply.Answer = append(reply.Answer, &dns.PTR{Hdr: header(q, dns.TypePTR), Ptr: dns.Fqdn(name)})
		}
		return true
	}
	if _, ours := firstOverlap(netip.PrefixFrom(addr, addr.BitLen()), v.subnets); ours || !v.external {
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

// reverseAddr parses 4.3.2.1.in-addr.arpa.
func reverseAddr(name string) (netip.Addr, bool) {
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
