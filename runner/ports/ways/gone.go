package ways

import (
	"net/netip"
	"time"

	"github.com/orlop/orlop/runner/ports/nat"
)

// Released is told that nobody has an address any more.
func (w *Ways) Released(addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.sent[addr] {
		return
	}
	delete(w.sent, addr)
	w.lose(nat.Flows{Is6: addr.Is6(), To: netip.AddrPortFrom(addr, 0)})
}

// lose has connections be forgotten soon. The caller holds mu.
func (w *Ways) lose(f nat.Flows) {
	w.gone = append(w.gone, f)
	select {
	case w.released <- struct{}{}:
	default:
	}
}

// together is how long addresses are collected before connections to them are forgotten,
// for which the kernel looks at all that it knows.
const together = 50 * time.Millisecond

// forget has connections be forgotten that lead to who is not there any more.
func (w *Ways) forget() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.released:
		}
		select {
		case <-w.ctx.Done():
		case <-time.After(together):
		}
		w.forgetNow()
	}
}

func (w *Ways) forgetNow() {
	w.mu.Lock()
	gone := w.gone
	w.gone = nil
	w.mu.Unlock()
	if len(gone) == 0 {
		return
	}
	if err := w.Forget(gone...); err != nil {
		w.Log.Warn("connections may lead to containers that are gone", "error", err)
	}
}
