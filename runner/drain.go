package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
)

// acceptTime is how long a program that is to end may take at least to accept
// the connections that came before its ports led elsewhere, however short its
// grace period. It takes that long only on a busy machine, or if it accepts
// none any more.
const acceptTime = time.Second

// unseenTime is how long what a client said last counts as a request where its
// protocol is not known, unless somebody has chosen a grace period: a database's
// query may take that long, and an idle connection of HTTP/2 or a shipper of
// logs, which speak and get no answer, must not hold up each replacement.
const unseenTime = 3 * time.Second

// drainTraffic lets a program to which nothing new is led finish what it was given,
// for its grace period at most: the requests under way by its published ports
// are answered, and what the kernel has established for it is accepted, which
// would be reset with its listener. Its signal comes after that.
func (c *container) drainTraffic(ctx context.Context, grace Grace) {
	rec := c.snapshot()
	c.mu.Lock()
	running := c.task != nil && rec.State == planner.Running
	c.mu.Unlock()
	list, err := bindings(&rec)
	if err != nil || !running {
		return
	}
	limit, isChosen := c.graceOf(grace)
	patience := keeper.Patience{Within: limit, Unseen: unseenTime}
	if isChosen {
		patience.Unseen = limit
	}
	var keys []string
	var targets []uint16
	for _, b := range list {
		if b.proto == "tcp" {
			keys = append(keys, b.key)
			targets = append(targets, uint16(b.target))
		}
	}
	if len(keys) == 0 {
		return
	}
	began := c.r.Now()
	c.drainPorts(ctx, keys, patience)
	ctx, cancel := context.WithTimeout(ctx, max(limit-c.r.Now().Sub(began), acceptTime))
	defer cancel()
	if err := c.r.nets.Settle(ctx, c.id, targets); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		c.r.log.Warn("connections may be lost", "container", c.name, "error", err)
	}
}

// drainPorts waits until the keeper knows of no request under way.
func (c *container) drainPorts(ctx context.Context, keys []string, patience keeper.Patience) {
	var all sync.WaitGroup
	for _, key := range keys {
		all.Go(func() {
			busy, err := c.r.Ports.Drain(ctx, key, patience)
			if err != nil || busy > 0 {
				c.r.log.Warn("requests may be lost", "container", c.name, "port", key, "under way", busy, "error", err)
			}
		})
	}
	all.Wait()
}
