package freezer

import "sync"

// Claim says whether a container is held still by a Freezer, or paused by somebody else.
type Claim struct {
	mu   sync.Mutex
	lost *func() // guarded by mu; of who holds it, else nil
}

// Take is called by who holds it from now on. It is told when it is lost to somebody else
// who pauses the container or has it go on; isMine says that it was not.
func (c *Claim) Take(lost func()) (isMine func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = &lost
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.lost == &lost
	}
}

// IsTaken says that a container which is paused is so for a Freezer.
func (c *Claim) IsTaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost != nil
}

// Drop ends a claim, and says whether there was one.
func (c *Claim) Drop() bool {
	c.mu.Lock()
	lost := c.lost
	c.lost = nil
	c.mu.Unlock()
	if lost != nil {
		(*lost)()
	}
	return lost != nil
}
