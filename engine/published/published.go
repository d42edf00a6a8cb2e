// Package published is the API of published ports, and says what there is for the kernel
// to send them to containers by.
package published

import (
	"context"
	"log/slog"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/runner/network/firewall"
	"github.com/orlop/orlop/runner/network/ruleset"
	"github.com/orlop/orlop/runner/network/sockets"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/ports/nat"
	"github.com/orlop/orlop/runner/ports/ways"
)

// Open has the kernel send ports to containers, for the engine of an ID, unless its
// settings, as they are below root, say that the keeper is to.
func Open(ctx context.Context, id string, listeners ports.Listeners, places ways.Places, root string, log *slog.Logger) *ways.Ways {
	set, _ := settings.AtStart(root) // what is wrong with them was told
	return ways.New(ctx, ways.Config{
		Listeners: listeners, Places: places, Rules: nat.New(id), Off: set.PublishesInUserspace(), Listens: sockets.Listens, Forget: nat.Forget, Log: log,
		Host: ruleset.Host{Table: func(table string) bool { return firewall.IsOurs(id, table) }, Opens: func(data []byte) bool { return firewall.Opens(id, data) }},
	})
}

// Server is the API of published ports.
type Server struct {
	api.UnimplementedPortsServer
	Listeners *ways.Ways
}

// Ways implements api.PortsServer.
func (s *Server) Ways(_ context.Context, req *api.WaysRequest) (*api.WaysReply, error) {
	reply := &api.WaysReply{}
	for _, way := range s.Listeners.Ways() {
		of, ok := strings.CutPrefix(way.Key, req.Project+"/")
		parts := strings.SplitN(of, "/", 3)
		if !ok || len(parts) < 3 {
			continue
		}
		reply.Ways = append(reply.Ways, &api.PortWay{
			Place: parts[0] + "/" + parts[1], Protocol: way.Proto, Host: way.Addr.String(), Port: int32(way.Port.Port), ByKernel: way.ByKernel, Why: way.Why,
		})
	}
	return reply, nil
}
