package containers

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/spec"
)

// Connect implements api.ContainersServer.
func (s *Server) Connect(ctx context.Context, r *api.ConnectRequest) (*api.ConnectReply, error) {
	var place *spec.ServiceNetwork
	if len(r.Place) > 0 {
		if err := json.Unmarshal(r.Place, &place); err != nil {
			return nil, fmt.Errorf("internal error: cannot read what is asked for on network %s: %w", r.Network, err)
		}
	}
	// What is begun is finished.
	if err := s.Runner.Wiring().Connect(context.WithoutCancel(ctx), r.Id, r.Network, place); err != nil {
		return nil, err
	}
	return &api.ConnectReply{}, s.Flush()
}

// Disconnect implements api.ContainersServer.
func (s *Server) Disconnect(ctx context.Context, r *api.DisconnectRequest) (*api.DisconnectReply, error) {
	if err := s.Runner.Wiring().Disconnect(context.WithoutCancel(ctx), r.Id, r.Network); err != nil {
		return nil, err
	}
	return &api.DisconnectReply{}, s.Flush()
}
