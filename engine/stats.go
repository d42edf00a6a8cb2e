package engine

import (
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/meter"
)

// statsInterval is the time between two measurements.
const statsInterval = time.Second

// Stats measures the running containers of a project while its caller listens.
func (s *server) Stats(req *api.StatsRequest, stream api.Engine_StatsServer) error {
	ticker := time.NewTicker(statsInterval)
	defer ticker.Stop()
	m := &meter.Meter{}
	for {
		reply := m.Read(s.runner.Sample(req.Project, req.Services, req.Processes))
		if err := stream.Send(reply); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-stream.Context().Done():
			return nil
		}
	}
}
