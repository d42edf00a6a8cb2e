package repair

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
)

// The format of a bbolt file, as far as a reader needs it (go.etcd.io/bbolt,
// internal/common): pages of one size, the first two of which say where the
// root is. All numbers are in the machine's own order.
const (
	magic, version  = 0xED0CDAED, 2
	headerSize      = 16
	metaSize        = 64
	elementSize     = 16
	branchPage      = 0x01
	leafPage        = 0x02
	freelistPage    = 0x10
	isBucket        = 0x01
	noFreelist      = ^uint64(0)
	smallestPage    = 1 << 10
	largestPage     = 64 << 10
	firstDataPage   = 2
	countOverflowed = 0xFFFF
)

// CheckPages follows every reference in a bbolt file once and says what of it
// can't be. bbolt itself believes what it reads: it follows a damaged reference
// out of the file, which ends the process, or in a circle for ever. A file that
// is empty or absent is an error too.
func CheckPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = walk(f)
	return err
}

// Wipe is CheckPages, and writes zeros over the pages of a sound file that nothing
// refers to: bbolt only marks those of a removed value as free, and what stood there
// (an environment with a password in it) stays until something else is written over
// it. Nobody may have the file open. Of one that is empty or absent there is nothing to do.
func Wipe(path string) error {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := walk(f)
	if err != nil {
		return err
	}
	if st, err = f.Stat(); err != nil {
		return err
	}
	written := false
	for id := uint64(firstDataPage); id < max(p.count, uint64(st.Size()/p.size)); id++ { // a commit that was cut off may have written behind the last page
		if id < p.count && p.used[id] {
			continue
		}
		page, err := p.at(id, 1)
		if err != nil {
			return err
		}
		if len(bytes.TrimLeft(page, "\x00")) == 0 {
			continue
		}
		if !written { // the commit that no more refers to the page is on the disk before the page is gone
			if err := f.Sync(); err != nil {
				return err
			}
		}
		if _, err := f.WriteAt(make([]byte, p.size), int64(id)*p.size); err != nil {
			return fmt.Errorf("cannot wipe page %d: %w", id, err)
		}
		written = true
	}
	if written {
		return f.Sync()
	}
	return nil
}

// mostInMemory is how large a file is, in bytes, that is read at once.
const mostInMemory = 64 << 20

// walk follows every reference in a file.
func walk(f *os.File) (*pages, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() == 0 {
		return nil, errors.New("the file is empty")
	}
	p := &pages{file: f}
	if st.Size() <= mostInMemory {
		p.text = make([]byte, st.Size())
		if _, err := io.ReadFull(f, p.text); err != nil {
			return nil, err
		}
	}
	meta, err := newestMeta(f)
	if err != nil {
		return nil, err
	}
	if int64(meta.pages)*int64(meta.pageSize) > st.Size() || meta.pages > uint64(st.Size()) {
		return nil, errors.New("the file is cut off")
	}
	p.size, p.count = int64(meta.pageSize), meta.pages
	p.used, p.listed = make([]bool, max(p.count, firstDataPage)), make([]bool, max(p.count, firstDataPage))
	p.used[0], p.used[1] = true, true
	if err := p.tree(meta.root, nil, nil); err != nil {
		return nil, err
	}
	return p, p.freelist(meta.free)
}

// meta is what a meta page says.
type meta struct {
	pageSize                  uint32
	root, free, pages, commit uint64
}

// newestMeta is the meta page of the last commit. The other one may be torn: it
// is the one that was being written.
func newestMeta(f io.ReaderAt) (*meta, error) {
	var newest *meta
	consider := func(at int64) *meta {
		m := readMeta(f, at)
		if m != nil && (newest == nil || m.commit > newest.commit) {
			newest = m
		}
		return m
	}
	if first := consider(0); first != nil {
		consider(int64(first.pageSize))
	} else {
		for size := int64(smallestPage); size <= largestPage && newest == nil; size *= 2 {
			consider(size)
		}
	}
	if newest == nil {
		return nil, errors.New("neither of the two pages that come first can be read")
	}
	return newest, nil
}

// readMeta reads the meta page at a place; nil if there is none.
func readMeta(f io.ReaderAt, at int64) *meta {
	b := make([]byte, headerSize+metaSize)
	if _, err := f.ReadAt(b, at); err != nil {
		return nil
	}
	b = b[headerSize:]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if number32(b) != magic || number32(b[4:]) != version || number64(b[metaSize-8:]) != sum.Sum64() {
		return nil
	}
	m := &meta{pageSize: number32(b[8:]), root: number64(b[16:]), free: number64(b[32:]), pages: number64(b[40:]), commit: number64(b[48:])}
	if m.pageSize < smallestPage || m.pageSize > largestPage || m.pageSize&(m.pageSize-1) != 0 {
		return nil
	}
	return m
}

func number16(b []byte) uint16 { return binary.NativeEndian.Uint16(b) }
func number32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }
func number64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// pages reads the pages of a file, each once.
type pages struct {
	file   io.ReaderAt
	text   []byte // the whole file, where it is small
	size   int64  // of a page
	count  uint64 // of pages, in use or free
	used   []bool // by number
	listed []bool // as free
}

// at reads pages that are in the file.
func (p *pages) at(id, count uint64) ([]byte, error) {
	from, size := int64(id)*p.size, int64(count)*p.size
	if from+size <= int64(len(p.text)) {
		return p.text[from : from+size], nil
	}
	page := make([]byte, size)
	if _, err := p.file.ReadAt(page, from); err != nil {
		return nil, fmt.Errorf("page %d can't be read: %w", id, err)
	}
	return page, nil
}

// read reads a page with those that it flows over to.
func (p *pages) read(id uint64) ([]byte, error) {
	if id < firstDataPage || id >= p.count {
		return nil, fmt.Errorf("page %d is not in the file", id)
	}
	head, err := p.at(id, 1)
	if err != nil {
		return nil, err
	}
	if number64(head) != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, number64(head))
	}
	more := uint64(number32(head[12:]))
	if id+more >= p.count {
		return nil, fmt.Errorf("page %d goes on after the file's end", id)
	}
	for i := id; i <= id+more; i++ {
		if p.used[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		p.used[i] = true
	}
	if more == 0 {
		return head, nil
	}
	return p.at(id, more+1)
}

// tree checks a page and all below it, whose keys are from low to below high;
// nil is no bound.
func (p *pages) tree(id uint64, low, high []byte) error {
	page, err := p.read(id)
	if err != nil {
		return err
	}
	switch flags := number16(page[8:]); flags {
	case leafPage:
		return p.leaf(id, page, low, high)
	case branchPage:
		return p.branch(id, page, low, high)
	default:
		return fmt.Errorf("page %d is of no kind (%#x)", id, flags)
	}
}

// keyOf gives the key of an element, and what follows it up to the page's end.
func keyOf(page []byte, at int, pos, size uint32) (key, rest []byte, ok bool) {
	begin := uint64(at) + uint64(pos)
	end := begin + uint64(size)
	if pos < elementSize || end > uint64(len(page)) {
		return nil, nil, false
	}
	return page[begin:end], page[end:], true
}

// branch checks a page that leads to others.
func (p *pages) branch(id uint64, page, low, high []byte) error {
	count := int(number16(page[10:]))
	if count == 0 || headerSize+count*elementSize > len(page) {
		return fmt.Errorf("page %d has %d elements, which can't be", id, count)
	}
	keys := make([][]byte, count+1)
	children := make([]uint64, count)
	for i := range count {
		at := headerSize + i*elementSize
		key, _, ok := keyOf(page, at, number32(page[at:]), number32(page[at+4:]))
		if !ok || i > 0 && bytes.Compare(keys[i-1], key) >= 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("page %d has a key that can't be there", id)
		}
		keys[i], children[i] = key, number64(page[at+8:])
	}
	keys[0], keys[count] = low, high // the first is an old one where smaller keys came since
	for i, child := range children {
		if err := p.tree(child, keys[i], keys[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks a page of keys and values, and the buckets among these.
func (p *pages) leaf(id uint64, page, low, high []byte) error {
	count := int(number16(page[10:]))
	if headerSize+count*elementSize > len(page) {
		return fmt.Errorf("page %d has %d elements, which can't be", id, count)
	}
	last := []byte(nil)
	for i := range count {
		at := headerSize + i*elementSize
		key, rest, ok := keyOf(page, at, number32(page[at+4:]), number32(page[at+8:]))
		size := uint64(number32(page[at+12:]))
		if !ok || size > uint64(len(rest)) || len(key) == 0 ||
			i > 0 && bytes.Compare(last, key) >= 0 || low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("page %d has a key that can't be there", id)
		}
		last = key
		switch flags := number32(page[at:]); flags {
		case 0:
		case isBucket:
			if err := p.bucket(id, rest[:size]); err != nil {
				return err
			}
		default:
			return fmt.Errorf("page %d has a value of no kind (%#x)", id, flags)
		}
	}
	return nil
}

// bucket checks a bucket, which is in the page itself while it is small.
func (p *pages) bucket(id uint64, value []byte) error {
	const head = 16
	if len(value) < head {
		return fmt.Errorf("page %d has half of a bucket", id)
	}
	if root := number64(value); root != 0 {
		return p.tree(root, nil, nil)
	}
	inline := value[head:]
	if len(inline) < headerSize || number16(inline[8:]) != leafPage {
		return fmt.Errorf("page %d has a bucket that is none", id)
	}
	return p.leaf(id, inline, nil, nil)
}

// freelist checks that no page is free which is in use: the next commit would
// write over it.
func (p *pages) freelist(id uint64) error {
	if id == noFreelist {
		return nil
	}
	page, err := p.read(id)
	if err != nil {
		return err
	}
	if number16(page[8:]) != freelistPage {
		return fmt.Errorf("page %d is no list of free pages", id)
	}
	count, rest := uint64(number16(page[10:])), page[headerSize:]
	if count == countOverflowed {
		count, rest = number64(rest), rest[8:]
	}
	if count > uint64(len(rest))/8 {
		return fmt.Errorf("page %d lists more free pages than it has room for", id)
	}
	for i := range count {
		free := number64(rest[8*i:])
		if free < firstDataPage || free >= p.count || p.used[free] || p.listed[free] {
			return fmt.Errorf("page %d is free and in use, or not in the file", free)
		}
		p.listed[free] = true
	}
	return nil
}
