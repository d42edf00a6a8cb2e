package loop

import (
	"maps"
	"slices"
	"time"

	"github.com/orlop/orlop/spec"
)

// delivery is a file that goes into the containers of a service.
type delivery struct {
	source string // on our side; one that is gone is removed over there
	rule   *Rule
	base   origin // what was there when the containers last had it
	sent   origin // what was sent, once it is
	again  bool   // what had it ended and runs again by our restart: no other one follows
}

// order is what a queue wants to be done next. One of its parts is set.
type order struct {
	sync        map[string]delivery // by path in the container; with what follows it
	restart     bool                // whatever the sync changed
	force       bool                // an earlier try may have changed something: what follows it is due
	build       bool
	asked       bool // for the build, by the user
	cancelBuild bool // or the wait for what was built to be ready
	replace     bool
}

func (o order) isEmpty() bool {
	return len(o.sync) == 0 && !o.restart && !o.build && !o.cancelBuild && !o.replace
}

// stage is where the rebuild of a service is.
type stage uint8

const (
	resting    stage = iota
	building         // may be given up for a newer tree
	cancelling       // given up, not ended yet
	replacing        // is brought to its end, or given up for a newer tree after a while
)

// patience is how long a replacement may take to get ready when there is a
// newer tree: one that never gets ready must not keep the one that mends it.
const patience = 10 * time.Second

// Retries of a sync that failed: soon, then ever later.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// queue is what is to be done for one service. It decides and does nothing:
// syncs go one after another beside a rebuild, and a rebuild gives way to one
// with a newer tree.
type queue struct {
	service string
	rules   []*Rule
	begun   []*Rule                  // whose initial sync is under way or done
	origin  func(path string) origin // what was at a path before its change

	files    map[string]delivery // to be written
	sent     map[string]delivery // written once: a new container gets them too
	going    map[string]delivery // being written, and what follows that
	restart  bool
	force    bool
	acting   bool // a sync, or what follows one, is going on
	failures int
	retryAt  time.Time
	absent   bool // no container runs: the next one wakes us

	rebuild   bool
	asked     bool // for the rebuild, by the user
	paused    bool // nothing is begun but what the user asks for
	unplaced  bool // an image was built that no container runs
	broken    bool // the last build failed
	stage     stage
	replaces  time.Time       // when the replacement began
	container map[string]bool // those that run, by ID
	restarted map[string]bool // those that we restart, until they run again
}

func newQueue(service string, rules []*Rule) *queue {
	q := &queue{service: service, files: map[string]delivery{}, sent: map[string]delivery{}, container: map[string]bool{},
		origin: func(string) origin { return origin{} }}
	q.setRules(rules)
	return q
}

// setRules takes the rules of the service among all.
func (q *queue) setRules(rules []*Rule) {
	q.rules = slices.DeleteFunc(slices.Clone(rules), func(r *Rule) bool { return r.Service != q.service })
	for target, d := range q.sent { // what no rule syncs any more is nobody's to keep in step
		if !slices.ContainsFunc(q.rules, func(r *Rule) bool { return r.Syncs() && r.Holds(d.source) && r.TargetOf(d.source) == target }) {
			delete(q.sent, target)
		}
	}
}

// change takes in a path that has changed and says whether it is ours.
func (q *queue) change(path string) (ours bool) {
	for _, r := range q.rules {
		if !r.Holds(path) {
			continue
		}
		ours = true
		switch {
		case r.Syncs():
			q.deliver(path, r, q.base(path, r))
		case r.Action == spec.WatchRestart:
			q.restart = true
		case r.Action == spec.WatchRebuild:
			q.rebuild = true
		}
	}
	return ours
}

func (q *queue) deliver(path string, r *Rule, base origin) {
	q.files[r.TargetOf(path)] = delivery{source: path, rule: r, base: base}
	q.failures, q.retryAt = 0, time.Time{}
}

// base is what was at a path when the containers last had it.
func (q *queue) base(path string, r *Rule) origin {
	if due, ok := q.files[r.TargetOf(path)]; ok {
		return due.base
	}
	if had, ok := q.sent[r.TargetOf(path)]; ok {
		return had.sent
	}
	return q.origin(path)
}

// rewritten takes in a path that was written with the content that it had when
// the watch began: a container that is older than that may not have it.
func (q *queue) rewritten(path string) {
	for _, r := range q.rules {
		if !r.Syncs() || !r.Holds(path) {
			continue
		}
		target := r.TargetOf(path)
		_, due := q.files[target]
		if _, sent := q.sent[target]; !due && !sent {
			q.deliver(path, r, q.base(path, r))
		}
	}
}

// started takes in that a container runs. One that is new to us has only what
// its image holds: it gets what was written before, too.
func (q *queue) started(id string, under func(*Rule) []string) {
	if q.container[id] {
		return
	}
	q.container[id] = true
	q.absent, q.retryAt = false, time.Time{}
	own, due := q.restarted[id], maps.Clone(q.files)
	delete(q.restarted, id)
	q.initial(under)
	for _, had := range []map[string]delivery{q.going, q.sent} {
		for target, d := range had {
			if _, newer := q.files[target]; !newer {
				d.base = origin{} // what it has is not known
				q.files[target] = d
			}
		}
	}
	for target, d := range q.files {
		had, isDue := due[target]
		d.again = own && (!isDue || had.again)
		q.files[target] = d
	}
}

// restarts takes in that the containers that run are about to be restarted by us.
func (q *queue) restarts() { q.restarted = maps.Clone(q.container) }

// known takes in a container that ran before the watch began: it is what the
// up before left.
func (q *queue) known(id string) { q.container[id], q.absent = true, false }

// ended takes in that a container runs no more.
func (q *queue) ended(id string) { delete(q.container, id) }

// next is what shall be begun now. held says that the stack itself is being
// changed, and no container may be touched beside that.
func (q *queue) next(now time.Time, held bool) order {
	if !q.paused || q.asked {
		if o := q.nextRebuild(now, held); !o.isEmpty() {
			return o
		}
	}
	waits := q.paused || q.absent || now.Before(q.retryAt)
	switch {
	case q.acting:
		return order{}
	case waits || len(q.files) == 0 && (!q.restart || held):
		return order{}
	}
	o := order{sync: q.files, force: q.force}
	if !held {
		o.restart, q.restart = q.restart, false
	}
	q.going, q.files, q.acting, q.force = maps.Clone(q.files), map[string]delivery{}, true, false // whoever writes the files notes in the order what was there
	return o
}

func (q *queue) nextRebuild(now time.Time, held bool) order {
	endless := q.stage == replacing && !now.Before(q.replaces.Add(patience))
	switch {
	case (q.stage == building || endless) && (q.rebuild || held):
		q.stage = cancelling
		q.rebuild = true
		return order{cancelBuild: true}
	case q.stage == resting && q.rebuild && !held:
		o := order{build: true, asked: q.asked}
		q.stage, q.rebuild, q.asked = building, false, false
		return o
	}
	return order{}
}

// synced takes in how a sync ended: the paths that could not be written, and
// whether no container ran at all. What failed is tried again, and what
// follows a sync waits for it; again is after how long, or 0.
func (q *queue) synced(o order, failed []string, absent bool, now time.Time) (again time.Duration) {
	for target, d := range o.sync {
		q.sent[target] = d
	}
	for _, target := range failed {
		if _, newer := q.files[target]; !newer {
			q.files[target] = o.sync[target]
		}
	}
	q.acting, q.going = false, nil
	if len(failed) == 0 {
		q.failures = 0
		return 0
	}
	q.restart = q.restart || o.restart
	q.force = true
	if absent && len(q.container) == 0 {
		q.absent = true
		return 0
	}
	again = min(firstRetry<<min(q.failures, 10), lastRetry)
	q.failures++
	q.retryAt = now.Add(again)
	return again
}

// built takes in how a build ended, and says whether the containers are to be
// replaced now.
func (q *queue) built(ok, changed bool, now time.Time) (replace bool) {
	given := q.stage == cancelling
	q.stage = resting
	if !given {
		q.broken = !ok
	}
	if ok && changed {
		q.unplaced = true
	}
	newer := q.rebuild && (!q.paused || q.asked)
	if given || !ok || newer || !q.unplaced {
		return false
	}
	q.stage, q.replaces = replacing, now
	return true
}

// replaced takes in how a replacement ended.
func (q *queue) replaced(ok bool) {
	q.stage = resting
	if ok {
		q.unplaced = false
	}
}

// wake is when next may have something to begin of itself: a sync that is to
// be tried again, or a replacement that has been waited for enough; or zero.
func (q *queue) wake(now time.Time, held bool) (at time.Time) {
	if enough := q.replaces.Add(patience); q.stage == replacing && now.Before(enough) {
		at = enough
	}
	if q.paused || q.acting || q.absent || len(q.files) == 0 && (!q.restart || held) {
		return at
	}
	if at.IsZero() || q.retryAt.Before(at) {
		return q.retryAt
	}
	return at
}

// initial asks for what the rules sync at the beginning.
func (q *queue) initial(under func(*Rule) []string) {
	q.begun = nil
	q.begin(under)
}

// begin asks for it of the rules that are new, as an edit brings them to a
// service that runs.
func (q *queue) begin(under func(*Rule) []string) {
	for _, r := range q.rules {
		if !r.Syncs() || !r.InitialSync || slices.ContainsFunc(q.begun, r.syncsLike) {
			continue
		}
		for _, path := range under(r) {
			q.deliver(path, r, origin{})
		}
	}
	q.begun = q.rules
}
