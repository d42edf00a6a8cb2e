package lab

import (
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// NameServer answers questions for A records with one address, at port 53 of
// another in a network namespace, until it is closed.
func NameServer(netns string, at, says netip.Addr) (shut func() error, err error) {
	var pc net.PacketConn
	err = within(netns, func() (err error) {
		pc, err = net.ListenPacket("udp4", netip.AddrPortFrom(at, 53).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			reply.Answer = append(reply.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: says.AsSlice()})
		}
		// The client may be gone.
		_ = w.WriteMsg(reply)
	}
	server, done := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(answer)}, make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	return func() error {
		pc.Close()
		<-done
		return nil
	}, nil
}
