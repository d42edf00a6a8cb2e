package spec

import (
	"strconv"
	"strings"
)

// Share is a namespace that a service has together with another container (Compose
// Specification, network_mode, pid and ipc: "service:NAME" and "container:NAME").
type Share struct {
	Key       string // network_mode, pid or ipc
	Service   string // of the same stack, or
	Container string // its name or ID
}

// What says what is shared.
func (s Share) What() string {
	return map[string]string{"network_mode": "network", "pid": "PID namespace", "ipc": "IPC namespace"}[s.Key]
}

// Of says whose it is.
func (s Share) Of() string {
	if s.Service != "" {
		return "service " + strconv.Quote(s.Service)
	}
	return "container " + strconv.Quote(s.Container)
}

// Shares are the namespaces that a service has of others.
func (s *Service) Shares() []Share {
	var all []Share
	for _, k := range []struct{ key, mode string }{{"network_mode", s.NetworkMode}, {"pid", s.PID}, {"ipc", s.IPC}} {
		switch kind, name, _ := strings.Cut(k.mode, ":"); {
		case name == "":
		case kind == "service":
			all = append(all, Share{Key: k.key, Service: name})
		case kind == "container":
			all = append(all, Share{Key: k.key, Container: name})
		}
	}
	return all
}

// Share is what the service has of another by a key, if it does.
func (s *Service) Share(key string) (Share, bool) {
	for _, share := range s.Shares() {
		if share.Key == key {
			return share, true
		}
	}
	return Share{}, false
}

// ShareableIPC lets others share the IPC namespace and /dev/shm of a service (ipc).
const ShareableIPC = "shareable"
