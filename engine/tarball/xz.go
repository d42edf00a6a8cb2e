package tarball

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ulikunitz/xz"
)

// mostDictionary is how much memory an archive may ask for that is compressed with xz: "xz -9" asks
// for 64 MiB.
const mostDictionary = 256 << 20

// unxz reads what is compressed with xz.
func unxz(in *bufio.Reader, verb string) (io.Reader, error) {
	b := &blocks{in: in, verb: verb}
	b.next = b.stream
	out, err := xz.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("cannot read the archive: %w", err)
	}
	return out, nil
}

// blocks passes on what is compressed with xz, and follows it: an archive has any number of streams, of any number of
// blocks, each of which asks for its own dictionary (The .xz File Format, 2 to 4). One that asks for too much ends it.
type blocks struct {
	in    *bufio.Reader
	verb  string
	left  int64        // bytes that are passed on before the next part
	next  func() error // looks at that part, and sets both
	check int64        // size of the check behind each block of the stream
	size  int64        // of the block's data, or of the index, so far
	terms uint64       // numbers of the index that are to come
}

// Read implements io.Reader.
func (b *blocks) Read(p []byte) (int, error) {
	for b.left == 0 {
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// rest passes on all that is left: what ends too early, or is damaged, is the decoder's to tell, which reads no further.
func (b *blocks) rest() error {
	b.left = math.MaxInt64
	return nil
}

func (b *blocks) pass(n int64, next func() error) error {
	b.left, b.next = n, next
	return nil
}

const partSize = 4 // all parts are multiples of that

func padding(size int64) int64 { return (partSize - size%partSize) % partSize }

// stream is a stream's header, or padding before one.
func (b *blocks) stream() error {
	const size, flags = 12, 7
	begin, err := b.in.Peek(partSize)
	if err != nil {
		return b.rest()
	}
	if binary.BigEndian.Uint32(begin) == 0 {
		return b.pass(partSize, b.stream)
	}
	if begin, err = b.in.Peek(size); err != nil {
		return b.rest()
	}
	known := false
	if b.check, known = map[byte]int64{0: 0, 1: 4, 4: 8, 10: 32}[begin[flags]]; !known {
		return b.rest()
	}
	return b.pass(size, b.block)
}

// block is a block's header, or the first byte of the index.
func (b *blocks) block() error {
	begin, err := b.in.Peek(1)
	if err != nil {
		return b.rest()
	}
	if begin[0] == 0 {
		b.size = 1
		return b.pass(1, b.records)
	}
	size := (int(begin[0]) + 1) * partSize
	if begin, err = b.in.Peek(size); err != nil {
		return b.rest()
	}
	switch asked := dictionary(begin); {
	case asked == 0:
		return errors.New("its compression by xz has a filter that is not known here")
	case asked > mostDictionary:
		return fmt.Errorf("it is compressed with xz so that it takes %d MiB of memory: \"xz -dc FILE | %s\" decompresses it before", asked>>20, b.verb)
	}
	b.size = 0
	return b.pass(int64(size), b.chunk)
}

// chunk is one of LZMA2, of which a block's data consists.
func (b *blocks) chunk() error {
	const stored, packed, withProperties = 3, 6, 0xc0 // sizes of the headers, the latter with properties
	begin, err := b.in.Peek(1)
	if err != nil {
		return b.rest()
	}
	control, size := begin[0], int64(0)
	switch {
	case control == 0: // the last one
		b.size++
		return b.pass(1+padding(b.size)+b.check, b.block)
	case control <= 2:
		if begin, err = b.in.Peek(stored); err != nil {
			return b.rest()
		}
		size = stored + int64(binary.BigEndian.Uint16(begin[1:])) + 1
	case control >= 0x80:
		if begin, err = b.in.Peek(packed - 1); err != nil {
			return b.rest()
		}
		size = packed - 1 + int64(binary.BigEndian.Uint16(begin[3:])) + 1
		if control >= withProperties {
			size++
		}
	default:
		return b.rest()
	}
	b.size += size
	return b.pass(size, b.chunk)
}

// records is how many the index has, each of two numbers.
func (b *blocks) records() error {
	n, size, ok := b.number()
	if !ok || n > math.MaxInt64/2 {
		return b.rest()
	}
	b.terms = 2 * n
	b.size += size
	return b.pass(size, b.record)
}

// record is a number of the index, or its end with that of the stream.
func (b *blocks) record() error {
	const checksum, footer = 4, 12
	if b.terms == 0 {
		return b.pass(padding(b.size)+checksum+footer, b.stream)
	}
	_, size, ok := b.number()
	if !ok {
		return b.rest()
	}
	b.terms--
	b.size += size
	return b.pass(size, b.record)
}

// number is one of 7 bits a byte, and how many bytes it takes.
func (b *blocks) number() (n uint64, size int64, ok bool) {
	begin, err := b.in.Peek(binary.MaxVarintLen64)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, false
	}
	n, taken := binary.Uvarint(begin)
	return n, int64(taken), taken > 0
}

// dictionary is the size of the dictionary that the header of a block asks for
// (The .xz File Format, 3.1 and 5.3.1); 0 where it tells none.
func dictionary(header []byte) int64 {
	const lzma2, further = 0x21, 0x80
	if len(header) < 2 {
		return 0
	}
	flags, rest := header[1], header[2:]
	for _, size := range []byte{0x40, 0x80} { // the sizes of the block, 7 bits a byte
		for flags&size != 0 && len(rest) > 0 {
			last := rest[0]&further == 0
			if rest = rest[1:]; last {
				break
			}
		}
	}
	for len(rest) > 2 && (rest[0]|rest[1])&further == 0 { // filters; the last one is LZMA2
		id, length := rest[0], int(rest[1])
		if id == lzma2 {
			bits := int64(rest[2])
			if bits >= 40 {
				return 1 << 32
			}
			return (2 | bits&1) << (bits/2 + 11)
		}
		if len(rest) < 2+length {
			return 0
		}
		rest = rest[2+length:]
	}
	return 0
}
