package happening

import (
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
)

// moment is one event, without the words about its container.
type moment struct {
	action string
	at     time.Time
	more   map[string]string
}

// since is what happened to a container between two of its states, in Docker's
// words. Changes that follow fast may come as one: a process that ended and was
// started again in between has both.
func since(before, now *planner.Container) []moment {
	var out []moment
	started := now.StartedAt.After(before.StartedAt)
	wasUp := before.State == planner.Running || before.State == planner.Stopping
	if now.SignalledAt.After(before.SignalledAt) {
		out = append(out, moment{"kill", now.SignalledAt, map[string]string{"signal": strconv.Itoa(now.Signal)}})
	}
	if now.ExitedAt.After(before.ExitedAt) && (wasUp || started || now.State == planner.Exited || now.State == planner.Restarting) {
		if now.ExitedAt.After(now.StartedAt) && started {
			out = append(out, moment{"start", now.StartedAt, nil})
			started = false
		}
		if now.OOMKilled {
			out = append(out, moment{"oom", now.ExitedAt, nil})
		}
		out = append(out, moment{"die", now.ExitedAt, map[string]string{"exitCode": strconv.Itoa(now.ExitCode)}})
	}
	// The process may have ended before it is known that it is over with that.
	if now.Stopped && now.State == planner.Exited && (wasUp || before.State == planner.Restarting || started) {
		out = append(out, moment{"stop", now.ExitedAt, nil})
	}
	if now.Paused != before.Paused && !(before.Paused && now.ExitedAt.After(before.ExitedAt)) {
		out = append(out, moment{map[bool]string{true: "pause", false: "unpause"}[now.Paused], now.FrozenAt, nil})
	}
	if started {
		var more map[string]string
		if now.Restarts > before.Restarts || before.State == planner.Restarting {
			more = map[string]string{"restarts": strconv.Itoa(now.Restarts)}
		}
		out = append(out, moment{"start", now.StartedAt, more})
	}
	if now.RestartedAt.After(before.RestartedAt) {
		out = append(out, moment{"restart", now.RestartedAt, nil})
	}
	if now.UpdatedAt.After(before.UpdatedAt) {
		out = append(out, moment{"update", now.UpdatedAt, nil})
	}
	if now.Health != before.Health && (now.Health == planner.Healthy || now.Health == planner.Unhealthy) {
		at := now.StartedAt
		more := map[string]string{"health": string(now.Health)}
		if p := now.LastProbe; p != nil {
			at = p.At.Add(p.Took)
			more["output"] = strings.TrimSpace(p.Output)
		}
		out = append(out, moment{"health_status: " + string(now.Health), at, more})
	}
	return out
}
