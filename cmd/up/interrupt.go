package up

import (
	"sync"

	"github.com/orlop/orlop/cmd/cli"
)

// stage is how often the user has interrupted an up.
type stage uint8

const (
	applying stage = iota // the engine carries out the plan
	attached              // logs are shown
	stopping              // interrupted once: services stop gently
	killing               // interrupted twice: they are killed
	leaving               // we let go
)

// response is what an interrupt asks for.
type response uint8

const (
	cancelApply response = iota
	stopServices
	killServices
	leave
)

// interrupt is the whole rule: during the apply the first lets go of it; in
// attached mode the first stops gently, the second kills, the third leaves.
func (s stage) interrupt() (stage, response) {
	switch s {
	case applying:
		return leaving, cancelApply
	case attached:
		return stopping, stopServices
	case stopping:
		return killing, killServices
	case killing, leaving:
		return leaving, leave
	}
	return leaving, leave
}

// interrupts turns signals into responses. All responses come from one
// goroutine, one at a time.
type interrupts struct {
	mu      sync.Mutex // guards stage
	stage   stage
	asked   chan struct{} // by a key
	stop    chan struct{}
	stopped chan struct{}
}

func onInterrupt(inv *cli.Invocation, respond func(response)) *interrupts {
	i := &interrupts{asked: make(chan struct{}), stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(i.stopped)
		for {
			select {
			case <-i.stop:
				return
			case <-inv.Signals:
				inv.Output.Interrupted()
				respond(i.next())
			case <-i.asked:
				respond(i.next())
			}
		}
	}()
	return i
}

// press is an interrupt by a key.
func (i *interrupts) press() {
	select {
	case i.asked <- struct{}{}:
	case <-i.stop:
	}
}

func (i *interrupts) next() (r response) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stage, r = i.stage.interrupt()
	return r
}

// attach enters attached mode, unless the user has let go already.
func (i *interrupts) attach() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stage != applying {
		return false
	}
	i.stage = attached
	return true
}

func (i *interrupts) interrupted() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stage != applying && i.stage != attached
}

func (i *interrupts) close() {
	close(i.stop)
	<-i.stopped
}
