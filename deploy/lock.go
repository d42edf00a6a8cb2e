package deploy

import (
	"context"
	"errors"
	"time"

	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/fields"
	"github.com/orlop/orlop/deploy/manifest"
)

// Times of the lock.
const (
	lockFor   = 15 * time.Second // that it holds without being renewed
	lockRenew = 5 * time.Second
)

// errLockLost is why a deploy ends that could not renew its lock.
var errLockLost = errors.New("the lock of the deploy was lost: the API server did not answer for too long, and somebody else may deploy by now")

// lock is a Lease of which one deploy at a time is the holder.
type lock struct {
	client        *cluster.Client
	name, project string
	holder        string
	now           func() time.Time

	seen  string    // its last renewal, as somebody else has written it
	since time.Time // when we saw that first: clocks of machines differ
}

// Lock keeps others from deploying the same project at the same time: a Lease, which ends by itself when its holder has died. wait is told
// for whom it waits. The context that it gives ends when the lock is lost, and is ctx where there is an error; the function lets go of it.
func Lock(ctx context.Context, c *cluster.Client, project, holder string, now func() time.Time, wait func(text string)) (held context.Context, release func(), err error) {
	l := &lock{client: c, name: parentName(project), project: project, holder: holder, now: now}
	got, by, err := l.take(ctx)
	if err != nil {
		return ctx, nil, err
	}
	if !got {
		if err := l.wait(ctx, by, wait); err != nil {
			return ctx, nil, err
		}
	}
	held, lose := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.renew(renewing, lose)
	}()
	return held, func() {
		stop()
		<-done
		lose(nil)
		l.release(ctx)
	}, nil
}

// wait takes the lock as soon as others let go of it, or their time is over. say is told who they are.
func (l *lock) wait(ctx context.Context, by string, say func(text string)) error {
	mirror, err := l.client.Follow(ctx, []manifest.Kind{cluster.Lease}, manifest.LabelProject+"="+manifest.LabelValue(l.project))
	if err != nil {
		return err
	}
	defer mirror.Close()
	told := ""
	for {
		if by != told && by != "" {
			told = by
			say("waiting for the deploy of " + by)
		}
		changed := mirror.Changed()
		var got bool
		if got, by, err = l.take(ctx); err != nil || got {
			return err
		}
		if by == "" { // somebody was quicker
			continue
		}
		if err := mirror.Wait(ctx, changed, max(lockFor-l.now().Sub(l.since), time.Millisecond)); err != nil {
			return err
		}
	}
}

// renew renews the lock until the context ends.
func (l *lock) renew(ctx context.Context, lose context.CancelCauseFunc) {
	ticker := time.NewTicker(lockRenew)
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		within, cancel := context.WithTimeout(ctx, lockFor-time.Since(renewed))
		got, _, err := l.take(within)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && got:
			renewed = time.Now()
		case err == nil || time.Since(renewed) >= lockFor:
			lose(errLockLost)
			return
		}
	}
}

// release lets go of the lock, if it is ours.
func (l *lock) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	live, err := l.client.Get(ctx, cluster.Lease, l.name)
	if err != nil || live == nil || fields.At(live.Object, []string{"spec", "holderIdentity"}) != l.holder {
		return
	}
	_ = l.client.Remove(ctx, cluster.Lease, l.name, string(live.GetUID()))
}

// take takes or renews the lock; by is who has it otherwise.
func (l *lock) take(ctx context.Context) (got bool, by string, err error) {
	live, err := l.client.Get(ctx, cluster.Lease, l.name)
	if err != nil {
		return false, "", err
	}
	const format = "2006-01-02T15:04:05.000000Z07:00"
	lease := map[string]any{"holderIdentity": l.holder, "leaseDurationSeconds": int64(lockFor.Seconds()), "renewTime": l.now().UTC().Format(format)}
	if live == nil {
		_, err := l.client.Create(ctx, cluster.Lease, l.name, map[string]any{
			"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
			"metadata": map[string]any{"name": l.name, "labels": map[string]any{manifest.LabelProject: manifest.LabelValue(l.project), manifest.LabelManager: Tool}},
			"spec":     lease,
		})
		if cluster.IsTaken(err) {
			return false, "", nil
		}
		return err == nil, "", err
	}
	owner, _ := fields.At(live.Object, []string{"spec", "holderIdentity"}).(string)
	if owner != l.holder && owner != "" && !l.isLeft(live) {
		return false, owner, nil
	}
	live = live.DeepCopy()
	live.Object["spec"] = lease
	_, err = l.client.Replace(ctx, cluster.Lease, live)
	if cluster.IsStale(err) {
		return false, owner, nil
	}
	return err == nil, "", err
}

// isLeft says that the lock is of somebody who has died.
func (l *lock) isLeft(live *cluster.Live) bool {
	renewed, _ := fields.At(live.Object, []string{"spec", "renewTime"}).(string)
	if renewed != l.seen {
		l.seen, l.since = renewed, l.now()
	}
	return l.now().Sub(l.since) >= lockFor
}
