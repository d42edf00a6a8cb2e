// Package collector removes images that nobody uses and what builds have left, when they are old or too many, as the
// engine's settings say. Without such a setting nothing is removed.
package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/instance"
)

// Images are those that may be removed.
type Images interface {
	// Prune removes those that no container, no scheduled job and no plan uses, as far as the request means them.
	Prune(ctx context.Context, r *api.PruneRequest) (*api.PruneReply, error)
}

// Store measures images.
type Store interface {
	List(ctx context.Context) ([]image.Info, error)
	// Without is what all images would take if those of some digests were not here.
	Without(ctx context.Context, gone func(digest string) bool) (int64, error)
}

// Notes are kept from one engine to the next.
type Notes interface {
	Load(bucket string) (map[string][]byte, error)
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
}

// bucket has when each image was used last, by its name.
const bucket = "images-used"

// The first look comes when an engine has had time to take up its stacks; the others follow.
const (
	first = 5 * time.Minute
	pause = time.Hour
)

// FirstVariable has the first look come at another time.
const FirstVariable = "ORLOP_FIRST_GC"

// youngest is how long an image has not been used, at least, that has to make room: what was used just now is about to be
// used again, by the next step of a pipeline or the next build.
const youngest = time.Hour

// Collector removes what is old.
type Collector struct {
	Root   string // of the engine, where its settings are
	Images Images
	Store  Store
	Notes  Notes
	// Instances have images also while they are down.
	Instances func() []instance.Instance
	// Control is BuildKit's.
	Control func(ctx context.Context) (controlapi.ControlClient, error)
	Log     *slog.Logger
	First   string // when the first look comes, in place of the usual time: that of FirstVariable
	Now     func() time.Time
	After   func(time.Duration) <-chan time.Time
}

// Run looks from time to time, until its context ends.
func (c *Collector) Run(ctx context.Context) {
	wait := first
	if d, err := time.ParseDuration(c.First); err == nil {
		wait = d
	}
	for ; ; wait = pause {
		select {
		case <-ctx.Done():
			return
		case <-c.After(wait):
		}
		set, err := settings.Load(c.Root)
		if err == nil {
			err = c.Collect(ctx, set.Collection, c.Now())
		}
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("cannot remove what nobody uses", "error", err)
		}
	}
}

// Collect removes what the settings mean now.
func (c *Collector) Collect(ctx context.Context, set settings.Collection, now time.Time) error {
	var errs []error
	gone, err := c.images(ctx, set.Images, now)
	if errs = append(errs, err); len(gone) > 0 {
		c.Log.Info("images that nobody uses are removed", "images", strings.Join(gone, " "))
	}
	if set.Cache.IsSet() {
		freed, err := c.cache(ctx, set.Cache)
		if errs = append(errs, err); freed > 0 {
			c.Log.Info("what builds have left is removed", "bytes", freed)
		}
	}
	return errors.Join(errs...)
}

// cache has BuildKit remove what builds have left, but for what one that runs uses, and says how many bytes that was.
func (c *Collector) cache(ctx context.Context, rule settings.Rule) (freed int64, err error) {
	control, err := c.Control(ctx)
	if err != nil {
		return 0, err
	}
	var all []*controlapi.PruneRequest
	if rule.UnusedFor > 0 {
		all = append(all, &controlapi.PruneRequest{KeepDuration: int64(rule.UnusedFor)})
	}
	if rule.Keep > 0 {
		all = append(all, &controlapi.PruneRequest{ReservedSpace: rule.Keep})
	}
	for _, req := range all {
		stream, err := control.Prune(ctx, req)
		for err == nil {
			var r *controlapi.UsageRecord
			if r, err = stream.Recv(); err == nil {
				freed += r.Size
			}
		}
		if !errors.Is(err, io.EOF) {
			return freed, fmt.Errorf("cannot prune the build cache: %w", err)
		}
	}
	return freed, nil
}

// candidate is an image that nobody uses.
type candidate struct {
	image.Info
	used time.Time // last
}

// images removes images. When they were used is noted in any case: a rule that is set later goes by it.
func (c *Collector) images(ctx context.Context, rule settings.Rule, now time.Time) (gone []string, err error) {
	list, err := c.Store.List(ctx)
	if err != nil {
		return nil, err
	}
	unused, err := c.Images.Prune(ctx, &api.PruneRequest{DryRun: true})
	if err != nil {
		return nil, err
	}
	last, err := c.lastUsed(list)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, i := range c.Instances() {
		for _, ref := range i.Images {
			if name, err := image.Normalize(ref); err == nil {
				wanted[name] = true
			}
		}
	}
	var idle []candidate
	for _, i := range list {
		if wanted[i.Name] || !slices.Contains(unused.Names, i.Name) {
			note(c.Notes, i.Name, now)
			continue
		}
		idle = append(idle, candidate{i, last[i.Name]})
	}
	chosen, err := c.choose(ctx, list, idle, rule, now)
	if err != nil || len(chosen) == 0 {
		return nil, err
	}
	reply, err := c.Images.Prune(ctx, &api.PruneRequest{Only: chosen})
	for _, name := range reply.GetNames() {
		c.Notes.Delete(bucket, name)
	}
	return reply.GetNames(), err
}

// choose gives the idle images that are too old, and the oldest ones while all together are too large: digests by name.
func (c *Collector) choose(ctx context.Context, all []image.Info, idle []candidate, rule settings.Rule, now time.Time) (map[string]string, error) {
	slices.SortFunc(idle, func(x, y candidate) int { return x.used.Compare(y.used) })
	chosen := map[string]string{}
	stays := map[string]int{} // names of each digest
	for _, i := range all {
		stays[i.Digest]++
	}
	isGone := func(digest string) bool { n, isKnown := stays[digest]; return isKnown && n == 0 }
	for _, i := range idle {
		isOld := rule.UnusedFor > 0 && now.Sub(i.used) >= rule.UnusedFor
		if !isOld {
			if rule.Keep == 0 || now.Sub(i.used) < youngest { // the others are younger
				break
			}
			total, err := c.Store.Without(ctx, isGone)
			if err != nil {
				return nil, err
			}
			if total <= rule.Keep {
				break
			}
		}
		chosen[i.Name] = i.Digest
		stays[i.Digest]--
	}
	return chosen, nil
}

// lastUsed is when images were used, or got their names, last. What is noted of others is forgotten.
func (c *Collector) lastUsed(list []image.Info) (map[string]time.Time, error) {
	docs, err := c.Notes.Load(bucket)
	if err != nil {
		return nil, err
	}
	last := map[string]time.Time{}
	for _, i := range list {
		last[i.Name] = i.NamedAt
		var used time.Time
		if doc := docs[i.Name]; doc != nil {
			if err := json.Unmarshal(doc, &used); err != nil {
				return nil, fmt.Errorf("cannot read when image %s was used: %w", i.Name, err)
			}
		}
		if used.After(i.NamedAt) {
			last[i.Name] = used
		}
		delete(docs, i.Name)
	}
	for name := range docs {
		c.Notes.Delete(bucket, name)
	}
	return last, nil
}

// Noting notes of images that they are used. What is looked at now and then does not see a container that lives for half
// a minute, or an image that builds begin with.
func Noting(notes Notes, now func() time.Time) func(name string) {
	return func(name string) { note(notes, name, now()) }
}

func note(notes Notes, name string, now time.Time) {
	doc, err := json.Marshal(now)
	if err == nil {
		notes.Save(bucket, name, doc)
	}
}
