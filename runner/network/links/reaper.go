package links

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Reaper removes links. To remove one costs the kernel some 20 ms of waiting
// (for readers on other processors), and many at once cost no more: so what is
// asked for while a removal is under way goes together in the next one.
type Reaper struct {
	links *netlink.Handle

	mu      sync.Mutex
	running bool
	waiting []removal
}

type removal struct {
	name string
	done chan error
}

// NewReaper removes links of the network namespace that a handle is in.
func NewReaper(h *netlink.Handle) *Reaper { return &Reaper{links: h} }

// Remove removes a link by name and waits until it is gone. One that is not
// there is no error.
func (r *Reaper) Remove(name string) error {
	mine := removal{name, make(chan error, 1)}
	r.mu.Lock()
	r.waiting = append(r.waiting, mine)
	lead := !r.running
	r.running = true
	r.mu.Unlock()
	// Whoever comes first works for all until nobody waits.
	for lead {
		r.mu.Lock()
		batch := r.waiting
		r.waiting = nil
		if len(batch) == 0 {
			r.running = false
		}
		r.mu.Unlock()
		if len(batch) == 0 {
			break
		}
		r.removeAll(batch)
	}
	return <-mine.done
}

func (r *Reaper) removeAll(batch []removal) {
	if len(batch) == 1 {
		batch[0].done <- r.removeOne(batch[0].name)
		return
	}
	err := r.removeGroup(batch)
	for _, b := range batch {
		if err != nil { // one bad link must not keep the others
			b.done <- r.removeOne(b.name)
		} else {
			b.done <- nil
		}
	}
}

func (r *Reaper) removeOne(name string) error {
	link, err := r.links.LinkByName(name)
	if err == nil {
		err = r.links.LinkDel(link)
	}
	if isGone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove link %s: %w", name, err)
	}
	return nil
}

func isGone(err error) bool {
	_, gone := errors.AsType[netlink.LinkNotFoundError](err)
	return gone || errors.Is(err, unix.ENODEV)
}

// removeGroup puts the links into a group of their own, of a number that nobody
// else draws, and removes the group in one request.
func (r *Reaper) removeGroup(batch []removal) error {
	group := rand.Uint32() | 1<<31
	members := 0
	for _, b := range batch {
		link, err := r.links.LinkByName(b.name)
		if err == nil {
			err = r.links.LinkSetGroup(link, int(group))
		}
		switch {
		case err == nil:
			members++
		case !isGone(err):
			return err
		}
	}
	if members == 0 {
		return nil
	}
	req := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
	req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	req.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(group)))
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
