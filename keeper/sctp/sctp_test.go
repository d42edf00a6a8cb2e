package sctp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// needed says that the machine is to have SCTP, so that a test that needs it fails where
// it has none: make guest runs these in a machine that has.
const needed = "ORLOP_SCTP"

const soon = 5 * time.Second

func need(t *testing.T) {
	t.Helper()
	err := Check()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv(needed) == "":
		t.Skip("SKIPPED: " + err.Error())
	default:
		t.Fatal(err)
	}
}

// TestAKernelWithoutSCTPIsNamed: nothing else comes of one.
func TestAKernelWithoutSCTPIsNamed(t *testing.T) {
	if Check() == nil {
		t.Skip("SKIPPED: this kernel has SCTP")
	}
	if _, err := Listen(netip.Addr{}, 0); !errors.Is(err, ErrMissing) {
		t.Errorf("listening says %v", err)
	}
	if _, err := Dial(netip.MustParseAddrPort("127.0.0.1:9"), soon); !errors.Is(err, ErrMissing) {
		t.Errorf("dialling says %v", err)
	}
}

// TestWhatIsSaidOfAMessage: what is sent of it is what the kernel tells of one that came.
func TestWhatIsSaidOfAMessage(t *testing.T) {
	m := Message{Stream: 7, Protocol: 0x2e000000, Rushes: true}
	all, err := unix.ParseSocketControlMessage(m.sendInfo())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d, %v", len(all), err)
	}
	if c := all[0]; c.Header.Level != unix.IPPROTO_SCTP || c.Header.Type != cmsgSendInfo || len(c.Data) < lenSendInfo ||
		native.Uint16(c.Data) != 7 || native.Uint16(c.Data[2:]) != unordered || native.Uint32(c.Data[4:]) != 0x2e000000 {
		t.Errorf("it is %+v", c)
	}
	// struct sctp_rcvinfo: stream, sequence, flags, two bytes of nothing, protocol.
	info := m.sendInfo()
	info = append(info, make([]byte, 16)...)
	copy(info[unix.CmsgLen(0):], []byte{7, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0x2e})
	h := header(info)
	h.Type = cmsgRecvInfo
	h.SetLen(unix.CmsgLen(lenRecvInfo))
	var got Message
	if err := got.learn(info[:unix.CmsgSpace(lenRecvInfo)]); err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
		t.Errorf("%+v, %v, want %+v", got, err, m)
	}
}

// pair is an association between two ends of this machine.
func pair(t *testing.T, l *Listener) (client, server *Conn) {
	t.Helper()
	accepted := make(chan *Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	client, err := Dial(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), l.Bound().Port()), soon)
	if err != nil {
		t.Fatal(err)
	}
	return client, <-accepted
}

// TestMessagesArePassedOnWhole: with their bounds, streams and protocols, also large ones, both
// ways; and then the end.
func TestMessagesArePassedOnWhole(t *testing.T) {
	need(t)
	front, err := Listen(netip.Addr{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Listen(netip.MustParseAddr("127.0.0.1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	client, in := pair(t, front)
	out, server := pair(t, back)
	go Pass(out, in)
	go Pass(in, out)
	messages := []Message{
		{Content: []byte("one"), Stream: 0, Protocol: 0x2e000000}, {Content: []byte("two"), Stream: 9},
		{Content: bytes.Repeat([]byte("x"), 150<<10), Stream: 3, Protocol: 0x12000000}, {Content: []byte("now"), Stream: 1, Rushes: true},
	}
	for name, way := range map[string][2]*Conn{"there": {client, server}, "back": {server, client}} {
		for _, m := range messages {
			if err := way[0].Write(m); err != nil {
				t.Fatal(name, err)
			}
			got, err := way[1].Read()
			if err != nil || !bytes.Equal(got.Content, m.Content) || got.Stream != m.Stream || got.Protocol != m.Protocol || got.Rushes != m.Rushes {
				t.Errorf("%s: %d bytes on %d of %x, %t, %v", name, len(got.Content), got.Stream, got.Protocol, got.Rushes, err)
			}
		}
	}
	if err := client.Write(Message{Content: []byte("last")}); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if m, err := server.Read(); err != nil || string(m.Content) != "last" {
		t.Errorf("the last is %q, %v", m.Content, err)
	}
	if _, err := server.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

// TestAPortIsListenedOnAgain: also while an association of it lives on; by two at once it is not.
func TestAPortIsListenedOnAgain(t *testing.T) {
	need(t)
	l, err := Listen(netip.Addr{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(netip.Addr{}, l.Bound().Port()); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a second one says %v", err)
	}
	client, server := pair(t, l)
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting says %v", err)
	}
	again, err := Listen(netip.Addr{}, l.Bound().Port())
	if err != nil {
		t.Fatal(err)
	}
	pair(t, again)
	if err := client.Write(Message{Content: []byte("on")}); err != nil {
		t.Error(err)
	}
	if m, err := server.Read(); err != nil || string(m.Content) != "on" {
		t.Errorf("%q, %v", m.Content, err)
	}
	again.Close()
	if _, err := Dial(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 9), soon); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("where nobody listens it says %v", err)
	}
	server.Abort()
	if _, err := client.Read(); err == nil {
		t.Error("an association that was aborted goes on")
	}
}

// TestServe is no test: it answers messages with themselves at a port, for who asks.
func TestServe(t *testing.T) {
	port, err := strconv.Atoi(os.Getenv("ORLOP_SCTP_SERVE"))
	if err != nil {
		t.Skip("SKIPPED: it is run by make guest, in a container")
	}
	l, err := Listen(netip.Addr{}, uint16(port))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("serves")
	for {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer c.Close()
			for m, err := c.Read(); err == nil; m, err = c.Read() {
				_ = c.Write(m)
			}
		}()
	}
}

// TestAsk is none, either: it asks who serves at an address.
func TestAsk(t *testing.T) {
	at, err := netip.ParseAddrPort(os.Getenv("ORLOP_SCTP_ASK"))
	if err != nil {
		t.Skip("SKIPPED: it is run by make guest, of a port that is published")
	}
	c, err := Dial(at, soon)
	if err != nil {
		t.Fatal(err)
	}
	for stream := range uint16(3) {
		m := Message{Content: []byte("hello"), Stream: stream, Protocol: 0x2e000000}
		if err := c.Write(m); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Read(); err != nil || fmt.Sprint(got) != fmt.Sprint(m) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	c.Close()
}
