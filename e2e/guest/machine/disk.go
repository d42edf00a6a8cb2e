package machine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
)

// block is what a disk writes as a whole or not at all.
const block = 4096

// Disk is a disk with a write cache that a loss of power empties: what was
// written is durable once the guest has flushed it. Until then each block may
// be lost or not, whatever the order in which they were written.
type Disk struct {
	path string
	size int64

	mu     sync.Mutex // guards file and cached
	file   *os.File
	cached map[int64][]byte // by block number: written, not flushed
}

// OpenDisk opens a disk whose durable content is a file.
func OpenDisk(path string) (*Disk, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size()%block != 0 {
		err = fmt.Errorf("%s has no whole number of blocks", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Disk{path: path, size: info.Size(), file: f, cached: map[int64][]byte{}}, nil
}

// Close forgets what is cached.
func (d *Disk) Close() error { return d.file.Close() }

// readAt reads what was written last.
func (d *Disk) readAt(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.each(p, offset, func(part []byte, n, within int64) error {
		if b := d.cached[n]; b != nil {
			copy(part, b[within:])
			return nil
		}
		_, err := d.file.ReadAt(part, n*block+within)
		return err
	})
}

// writeAt writes to the cache.
func (d *Disk) writeAt(p []byte, offset int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.each(p, offset, func(part []byte, n, within int64) error {
		b := d.cached[n]
		if b == nil {
			b = make([]byte, block)
			if len(part) < block {
				if _, err := d.file.ReadAt(b, n*block); err != nil {
					return err
				}
			}
			d.cached[n] = b
		}
		copy(b[within:], part)
		return nil
	})
}

// each takes a range apart into what is of one block.
func (d *Disk) each(p []byte, offset int64, do func(part []byte, n, within int64) error) error {
	if offset < 0 || offset+int64(len(p)) > d.size {
		return fmt.Errorf("%d bytes at %d are not on the disk", len(p), offset)
	}
	for len(p) > 0 {
		n, within := offset/block, offset%block
		part := p[:min(int64(len(p)), block-within)]
		if err := do(part, n, within); err != nil {
			return err
		}
		p, offset = p[len(part):], offset+int64(len(part))
	}
	return nil
}

// flush makes durable what was written.
func (d *Disk) flush() error { return d.settle(func() bool { return true }) }

// LosePower forgets a part of what was not flushed: all, none or a random
// half of it. It says how many blocks there were, and how many are lost.
func (d *Disk) LosePower(rng *rand.Rand) (unflushed, lost int, err error) {
	d.mu.Lock()
	unflushed = len(d.cached)
	d.mu.Unlock()
	odds := rng.IntN(3) // of 2, that a block is on the disk
	err = d.settle(func() bool {
		keep := rng.IntN(2) < odds
		if !keep {
			lost++
		}
		return keep
	})
	return unflushed, lost, err
}

// settle writes the blocks that are kept, and forgets the cache.
func (d *Disk) settle(keep func() bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var numbers []int64
	for n := range d.cached {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if !keep() {
			continue
		}
		if _, err := d.file.WriteAt(d.cached[n], n*block); err != nil {
			return err
		}
	}
	clear(d.cached)
	return nil
}
