// Package keeper holds what must outlive a crash or an upgrade of the engine:
// the API socket, the published ports and any descriptor that the engine asks
// it to keep. It starts the engine, and starts it again when it dies.
//
// It must stay small (about 10 MB resident, two thousand lines) and correct:
// a fault here is felt by every published port. So it links the standard
// library and golang.org/x/sys only, decides nothing about containers, and
// keeps nothing on disk but its lock, its socket and its log.
//
// Three doors lead in. The keeper process calls [Run]. The engine calls [Dial]
// and speaks to it by [Conn]. The command calls [Start] and [Running]. What is
// held lives in [Holdings], which also works without any process, for tests
// and for an engine that nobody keeps.
package keeper

import (
	"fmt"
	"net/netip"
	"time"
)

// Protocols of a published port.
const (
	TCP  = "tcp"
	UDP  = "udp"
	SCTP = "sctp"
)

// Port is one published port: where to listen, and under which key it is known.
type Port struct {
	// Key names the port for Route and Close; the caller chooses it.
	Key string `json:"key"`
	// Proto is TCP, UDP or SCTP.
	Proto string `json:"proto"`
	// Addr is the local address. The zero Addr is every address, IPv4 and
	// IPv6; 0.0.0.0 and :: are every address of one family.
	Addr netip.Addr `json:"addr"`
	// Port is the local port; 0 takes any that is free.
	Port uint16 `json:"port"`
}

// String reads like 127.0.0.1:8080/tcp, or 8080/tcp when every address is meant.
func (p Port) String() string {
	if !p.Addr.IsValid() || p.Addr.IsUnspecified() {
		return fmt.Sprintf("%d/%s", p.Port, p.Proto)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.Addr, p.Port), p.Proto)
}

// Route says where the traffic of a port goes.
type Route struct {
	// Backends take turns. One that refuses is passed over for the next.
	Backends []netip.AddrPort `json:"backends,omitempty"`
	// Parked makes new connections wait, whatever the backends; without
	// backends they wait too.
	Parked bool `json:"parked,omitempty"`
}

// Patience is how long [Holdings.Drain] waits.
type Patience struct {
	// Within bounds all of it.
	Within time.Duration `json:"within"`
	// Unseen bounds how long what a client said last counts as a request where
	// its protocol is not known: much is said that wants no answer.
	Unseen time.Duration `json:"unseen"`
}

// PortState is a published port as it stands.
type PortState struct {
	Port
	// Bound is the address and port that are really listened on.
	Bound netip.AddrPort `json:"bound"`
	Route Route          `json:"route"`
	// Conns counts the open connections (TCP), associations (SCTP) or sessions (UDP).
	Conns int `json:"conns"`
	// Waiting counts the connections or datagrams that are parked.
	Waiting int `json:"waiting"`
}

// Status describes the keeper process.
type Status struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	// EnginePID is the engine that now runs, EngineSince when it started, and
	// Restarts how many times an engine was started after the first.
	EnginePID   int       `json:"enginePid"`
	EngineSince time.Time `json:"engineSince"`
	Restarts    int       `json:"restarts"`
	// Memory is the resident size in bytes.
	Memory int64 `json:"memory"`
	Ports  int   `json:"ports"`
	Kept   int   `json:"kept"`
}

// PortError says why a port could not be published. PID and Process name who
// holds it, Key which of our own ports; they are zero when that is not known.
type PortError struct {
	Port
	Reason  string `json:"reason"`
	Errno   int    `json:"errno,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Process string `json:"process,omitempty"`
	Holder  string `json:"holder,omitempty"`
}

func (e *PortError) Error() string {
	return fmt.Sprintf("cannot publish %s: %s", e.Port, e.Detail())
}

// Detail is the second half of the message, for a caller that says better than
// we can what the port is for: "held by nginx (process 812)".
func (e *PortError) Detail() string {
	switch {
	case e.Holder != "":
		return fmt.Sprintf("already published as %s", e.Holder)
	case e.PID != 0:
		return fmt.Sprintf("held by %s (process %d)", e.Process, e.PID)
	}
	return e.Reason
}
