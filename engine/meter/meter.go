// Package meter makes measurements of containers comparable: it makes rates of counters.
package meter

import (
	"strconv"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/proc"
)

// Meter makes rates of counters: it remembers the measurement before.
type Meter struct{ before map[string]reading }

// reading is the processor time that something had used at a moment.
type reading struct {
	at  time.Time
	cpu time.Duration
}

// percent is the part of one core since the reading before, or since the start
// if there is none.
func (m *Meter) percent(key string, now reading, started time.Time) float64 {
	since := reading{at: started}
	if was, ok := m.before[key]; ok && was.cpu <= now.cpu {
		since = was
	}
	if !now.at.After(since.at) {
		return 0
	}
	return 100 * float64(now.cpu-since.cpu) / float64(now.at.Sub(since.at))
}

// Read is a measurement as callers are told of it.
func (m *Meter) Read(samples []proc.Sample) *api.StatsReply {
	reply := &api.StatsReply{}
	next := map[string]reading{}
	for _, c := range samples {
		now := reading{at: c.At, cpu: c.CPU}
		next[c.ID] = now
		stats := &api.ContainerStats{
			Id: c.ID, Name: c.Name, Service: c.Service, Number: int32(c.Number), CpuPercent: m.percent(c.ID, now, c.StartedAt),
			MemoryBytes: c.Memory, MemoryLimitBytes: c.MemoryLimit, NetReceivedBytes: c.NetReceived, NetSentBytes: c.NetSent,
			ReadBytes: c.Read, WrittenBytes: c.Written, ProcessCount: int32(c.Processes),
		}
		for _, p := range c.List {
			key := c.ID + "/" + strconv.Itoa(p.PID)
			next[key] = reading{at: c.At, cpu: p.CPU}
			stats.Processes = append(stats.Processes, &api.ProcessStats{
				Pid: int32(p.PID), Ppid: int32(p.PPID), Uid: int32(p.UID), CpuPercent: m.percent(key, next[key], p.StartedAt),
				MemoryBytes: p.Memory, CpuMs: p.CPU.Milliseconds(), StartedUnixMs: p.StartedAt.UnixMilli(), Terminal: p.Terminal, Command: api.Valid(p.Command),
			})
		}
		reply.Containers = append(reply.Containers, stats)
	}
	m.before = next
	return reply
}
