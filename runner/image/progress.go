package image

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pullWatch adds up how many bytes of a pull are here. The content store has
// no events for bytes, so it is asked a few times a second while a display
// wants to know.
type pullWatch struct {
	content  content.Store
	progress Progress

	mu     sync.Mutex
	blobs  map[string]int64 // guarded by mu: digest -> size
	layers unpacking
	waits  waiting
}

// Progress is told how far a pull or a load is: the bytes that are there and those
// to come, 0 where that is unknown, and in words what takes long beside that.
type Progress func(current, total int64, doing string)

// longUnpack is how long a layer is unpacked before that is told.
const longUnpack = 2 * time.Second

// reportEvery is how often a Progress is told.
const reportEvery = 200 * time.Millisecond

// unpacking is how far the layers of an image are unpacked.
type unpacking struct {
	mu        sync.Mutex
	all, done int                // guarded by mu
	layer     ocispec.Descriptor // guarded by mu: the last one that was begun
	read      int64              // guarded by mu: of it
	began     time.Time          // guarded by mu
}

// add notes that there are n more layers.
func (u *unpacking) add(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all += n
}

// note is told how much of a layer, as it is stored, is read. They come one after the
// other.
func (u *unpacking) note(layer ocispec.Descriptor, read int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if layer.Digest != u.layer.Digest {
		u.layer, u.read, u.began = layer, -1, time.Now()
	}
	if u.read < layer.Size && read >= layer.Size {
		u.done++
	}
	u.read = read
}

// doing says what takes long at some time.
func (u *unpacking) doing(now time.Time) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.layer.Digest == "" || u.read >= u.layer.Size || now.Sub(u.began) < longUnpack {
		return ""
	}
	return fmt.Sprintf("unpacking layer %d of %d, %d%%", u.done+1, max(u.all, u.done+1), 100*max(0, u.read)/u.layer.Size)
}

// repeating calls report again and again until the returned function is called.
func repeating(ctx context.Context, report func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				report(ctx)
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func newPullWatch(store content.Store, progress Progress) *pullWatch {
	return &pullWatch{content: store, progress: progress, blobs: map[string]int64{}}
}

// handle notes each blob that the pull is about to fetch. What is read whole must
// not be too large.
func (w *pullWatch) handle(_ context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if err := checkDocument(desc); err != nil {
		return nil, err
	}
	if images.IsLayerType(desc.MediaType) || images.IsConfigType(desc.MediaType) {
		w.mu.Lock()
		if _, known := w.blobs[desc.Digest.String()]; !known && images.IsLayerType(desc.MediaType) {
			w.layers.add(1)
		}
		w.blobs[desc.Digest.String()] = desc.Size
		w.mu.Unlock()
	}
	return nil, nil
}

// total is how many bytes all blobs have that are known by now.
func (w *pullWatch) total() (bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, size := range w.blobs {
		bytes += size
	}
	return bytes
}

// run reports until the returned function is called.
func (w *pullWatch) run(ctx context.Context) (stop func()) {
	if w.progress == nil {
		return func() {}
	}
	return repeating(ctx, w.report)
}

func (w *pullWatch) report(ctx context.Context) {
	active, err := w.content.ListStatuses(ctx)
	if err != nil {
		return
	}
	pending := map[string]int64{}
	for _, st := range active {
		pending[st.Ref] = st.Offset
	}
	w.mu.Lock()
	blobs := make(map[string]int64, len(w.blobs))
	for d, size := range w.blobs {
		blobs[d] = size
	}
	w.mu.Unlock()
	var current, total int64
	for d, size := range blobs {
		total += size
		have := size
		for ref, offset := range pending {
			if len(ref) >= len(d) && ref[len(ref)-len(d):] == d {
				have = offset
			}
		}
		current += have
	}
	w.progress(current, total, cmp.Or(w.waits.get(), w.layers.doing(time.Now())))
}
