package tarball

import (
	"bufio"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
)

// mostDictionary is how much memory an archive may ask for that is compressed with xz: "xz -9" asks
// for 64 MiB.
const mostDictionary = 256 << 20

// unxz reads what is compressed with xz.
func unxz(in *bufio.Reader, verb string) (io.Reader, error) {
	begin, err := in.Peek(64)
	if size := dictionary(begin); size > mostDictionary {
		return nil, fmt.Errorf("the archive is compressed with xz so that it takes %d MiB of memory: \"xz -dc FILE | %s\" decompresses it before", size>>20, verb)
	}
	stream, failed := xz.NewReader(in)
	if failed != nil {
		if err != nil {
			failed = err
		}
		return nil, fmt.Errorf("cannot read the archive: %w", failed)
	}
	return stream, nil
}

// dictionary is the size of the dictionary that the first block of an xz stream asks for
// (The .xz File Format, 3.1 and 5.3.1); 0 where it tells none.
func dictionary(begin []byte) int64 {
	const streamHeader, sizes, lzma2 = 12, 0xc0, 0x21
	if len(begin) < streamHeader+2 {
		return 0
	}
	flags, rest := begin[streamHeader+1], begin[streamHeader+2:]
	for _, size := range []byte{0x40, 0x80} { // the sizes of the block, 7 bits a byte
		for flags&size&sizes != 0 && len(rest) > 0 {
			last := rest[0]&0x80 == 0
			if rest = rest[1:]; last {
				break
			}
		}
	}
	for len(rest) > 2 { // filters; the last one is LZMA2
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
