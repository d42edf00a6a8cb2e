package tarball

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

func read(in io.Reader, out io.Writer) error {
	whole, err := Open(in, "orlop image import - NAME")
	if err != nil {
		return err
	}
	defer whole.Close()
	_, err = io.Copy(out, whole)
	return err
}

func TestWhatIsRead(t *testing.T) {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	z := gzip.NewWriter(&packed)
	z.Write(plain.Bytes())
	z.Close()
	var small, large bytes.Buffer
	for dictionary, out := range map[int]*bytes.Buffer{1 << 20: &small, 512 << 20: &large} {
		x, err := xz.WriterConfig{DictCap: dictionary}.NewWriter(out)
		if err != nil {
			t.Fatal(err)
		}
		x.Write(plain.Bytes())
		x.Close()
	}
	for name, in := range map[string][]byte{"plain": plain.Bytes(), "gzip": packed.Bytes(), "xz": small.Bytes()} {
		var out bytes.Buffer
		if err := read(bytes.NewReader(in), &out); err != nil || !bytes.Equal(out.Bytes(), plain.Bytes()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, why := range map[string]string{"": "nothing in the archive", "\xfd7zXZ\x00more": "cannot read the archive", large.String(): "512 MiB of memory: \"xz -dc FILE | orlop image import", strings.Repeat("text ", 1000): "no tar archive", "short": "no tar archive"} {
		if err := read(strings.NewReader(in), io.Discard); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.10q: %v", in, err)
		}
	}
}

// TestABrokenArchiveIsSaidToBe: in the words that a plain one has, wherever it is cut or damaged.
func TestABrokenArchiveIsSaidToBe(t *testing.T) {
	gzipped := func(text []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(text)
		z.Close()
		return out.Bytes()
	}
	random := make([]byte, 3<<20) // more than is looked at first
	rand.NewChaCha8([32]byte{}).Read(random)
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	if err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(random))}); err != nil {
		t.Fatal(err)
	}
	w.Write(random)
	w.Close()
	large, small := gzipped(plain.Bytes()), gzipped(make([]byte, 10240))
	damaged := slices.Clone(large)
	damaged[len(damaged)-6] ^= 1 // its checksum
	const cut = "the archive ends in the middle: it was cut off, fetch or save it again"
	for name, c := range map[string]struct {
		in  []byte
		why string
	}{
		"cut late":            {large[:len(large)-1000], cut},
		"cut in its first":    {small[:len(small)-9], cut},
		"cut in its head":     {small[:6], cut},
		"another checksum":    {damaged, "the archive is damaged: fetch or save it again"},
		"nothing, compressed": {gzipped(nil), "there is nothing in the archive"},
	} {
		if err := read(bytes.NewReader(c.in), io.Discard); err == nil || err.Error() != c.why {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestXZAsksForLittleMemoryThroughout: an archive has many streams of many blocks, each with its own dictionary.
//
// Risk archives: an archive begins with a block that asks for little memory, and has another one behind it
// Held: no block is decompressed that asks for more than 256 MiB
func TestXZAsksForLittleMemoryThroughout(t *testing.T) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	text := bytes.Repeat([]byte("some text that is compressed, "), 40_000)
	if err := w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	w.Close()
	random := make([]byte, 300_000) // is stored as it is
	rand.NewChaCha8([32]byte{}).Read(random)
	packed := func(dictionary int, check byte, of []byte) []byte {
		var out bytes.Buffer
		x, err := xz.WriterConfig{DictCap: dictionary, CheckSum: check, BlockSize: 70_000}.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		x.Write(of)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	asking := func(stream []byte) []byte { // its first block asks for 512 MiB
		header := stream[12 : 12+4*(int(stream[12])+1)]
		header[bytes.Index(header, []byte{0x21, 1})+2] = 34
		body := header[:len(header)-4]
		binary.LittleEndian.PutUint32(header[len(body):], crc32.ChecksumIEEE(body))
		return stream
	}
	for _, check := range []byte{xz.CRC32, xz.CRC64, xz.SHA256} {
		begin := append(packed(1<<20, check, plain.Bytes()), packed(1<<16, check, random)...)
		begin = append(begin, make([]byte, 8)...) // padding
		var out bytes.Buffer
		if err := read(bytes.NewReader(append(begin, packed(1<<20, check, text)...)), &out); err != nil || !bytes.Equal(out.Bytes(), slices.Concat(plain.Bytes(), random, text)) {
			t.Errorf("%d: %v", check, err)
		}
		err := read(bytes.NewReader(append(begin, asking(packed(1<<20, check, text))...)), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "512 MiB of memory") {
			t.Errorf("%d: %v", check, err)
		}
	}
	// And a block behind another one in a stream.
	one, two := packed(1<<20, xz.CRC32, text[:60_000]), asking(packed(1<<20, xz.CRC32, text[:60_000]))
	index := bytes.LastIndexByte(one[:len(one)-12], 0) // somewhere in the index
	for ; one[index-1] == 0; index-- {
	}
	for cut := index - 16; cut < len(one); cut++ { // wherever the block ends
		b := &blocks{in: bufio.NewReader(bytes.NewReader(append(slices.Clone(one[:cut]), two[12:]...))), verb: "x"}
		b.next = b.stream
		if _, err := io.Copy(io.Discard, b); err != nil && strings.Contains(err.Error(), "512 MiB of memory") {
			return
		}
	}
	t.Error("a second block is not looked at")
}

// TestDictionaryOfXZ: by what xz itself writes.
func TestDictionaryOfXZ(t *testing.T) {
	program, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("SKIPPED: there is no xz")
	}
	for preset, want := range map[string]int64{"-0": 256 << 10, "-6": 8 << 20, "-9": 64 << 20, "--x86": 64 << 20} {
		args := []string{"-c", preset}
		if preset == "--x86" { // a filter before it
			args = append(args, "--lzma2=preset=9")
		}
		c := exec.Command(program, args...)
		c.Stdin = strings.NewReader("text")
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := dictionary(out[12:]); got != want {
			t.Errorf("%s: %d, want %d", preset, got, want)
		}
	}
}

func TestACopyIsTheArchiveAsItIs(t *testing.T) {
	var whole bytes.Buffer
	w := tar.NewWriter(&whole)
	for _, name := range []string{"./a", "b/c"} {
		text := strings.Repeat(name, 5000)
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	w.Close()
	whole.WriteString("behind its end")
	for what, in := range map[string][]byte{"whole": whole.Bytes(), "cut off": whole.Bytes()[:17_000], "no archive from some point on": append(bytes.Clone(whole.Bytes()[:16_384]), "nothing"...)} {
		var out bytes.Buffer
		var names []string
		if err := Copy(&out, bytes.NewReader(in), func(name string) { names = append(names, name) }); err != nil || !bytes.Equal(out.Bytes(), in) {
			t.Errorf("%s: %v, %d of %d bytes", what, err, out.Len(), len(in))
		}
		if len(names) == 0 || names[0] != "./a" {
			t.Errorf("%s: its files are %q", what, names)
		}
	}
}
