package machine

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func newDisk(t *testing.T, blocks int64) *Disk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, blocks*block), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDisk(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func read(t *testing.T, d *Disk, offset int64, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if err := d.readAt(p, offset); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestADiskLosesWhatWasNotFlushedAlone(t *testing.T) {
	const blocks = 64
	lostOfAll := 0
	for seed := range uint64(20) {
		d := newDisk(t, blocks)
		old, fresh := bytes.Repeat([]byte{1}, blocks*block), bytes.Repeat([]byte{2}, blocks*block)
		if err := d.writeAt(old, 0); err != nil {
			t.Fatal(err)
		}
		if err := d.flush(); err != nil {
			t.Fatal(err)
		}
		if err := d.writeAt(fresh[:block*blocks/2], 0); err != nil {
			t.Fatal(err)
		}
		if got := read(t, d, 0, block); got[0] != 2 {
			t.Fatal("the guest does not read what it wrote")
		}
		unflushed, lost, err := d.LosePower(rand.New(rand.NewPCG(seed, 0)))
		if err != nil || unflushed != blocks/2 {
			t.Fatalf("%d unflushed blocks, %v", unflushed, err)
		}
		lostOfAll += lost
		now := read(t, d, 0, blocks*block)
		for n := range blocks {
			b := now[n*block : (n+1)*block]
			if !bytes.Equal(b, old[:block]) && (n >= blocks/2 || !bytes.Equal(b, fresh[:block])) {
				t.Fatalf("block %d is neither as it was flushed nor as it was written", n)
			}
			if bytes.Equal(b, old[:block]) && n < blocks/2 {
				lost--
			}
		}
		if lost != 0 {
			t.Fatalf("%d blocks more were said to be lost than are", lost)
		}
	}
	if lostOfAll == 0 || lostOfAll == 20*blocks/2 {
		t.Fatalf("%d blocks of all seeds are lost", lostOfAll)
	}
}

func TestADiskOfPartsOfBlocks(t *testing.T) {
	d := newDisk(t, 4)
	want := make([]byte, 4*block)
	for _, at := range []int64{0, 512, block - 512, 2*block + 1024} {
		part := bytes.Repeat([]byte{byte(at/512) + 1}, 1536)
		copy(want[at:], part)
		if err := d.writeAt(part, at); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(read(t, d, 0, len(want)), want) {
		t.Fatal("what is read is not what was written")
	}
	if err := d.flush(); err != nil {
		t.Fatal(err)
	}
	if onDisk, err := os.ReadFile(d.path); err != nil || !bytes.Equal(onDisk, want) {
		t.Fatal("what is durable is not what was written", err)
	}
	if d.writeAt(want, 1) == nil {
		t.Fatal("a write past the end succeeds")
	}
}
