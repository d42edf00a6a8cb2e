package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// Records are numbered from 1, a fixed number of them in each file.
const (
	recordSize = 512
	perFile    = 32
	pause      = 30 * time.Millisecond // between records: the writer leaves the machine to the rest
)

// record is the number, and bytes that follow from it, with their checksum.
func record(n uint64) []byte {
	r := make([]byte, recordSize)
	binary.LittleEndian.PutUint64(r, n)
	for i := 8; i < recordSize-4; i++ {
		r[i] = byte(n*31 + uint64(i)*7)
	}
	binary.LittleEndian.PutUint32(r[recordSize-4:], crc32.ChecksumIEEE(r[:recordSize-4]))
	return r
}

func fileOf(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("records-%06d", (n-1)/perFile))
}

// count is the number of the last record of those without a gap from 1 on.
func count(dir string) (uint64, error) {
	var n uint64
	for {
		data, err := os.ReadFile(fileOf(dir, n+1))
		if errors.Is(err, fs.ErrNotExist) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		for ; len(data) >= recordSize; data = data[recordSize:] {
			if string(data[:recordSize]) != string(record(n+1)) {
				return n, nil
			}
			n++
		}
		if n%perFile != 0 || len(data) > 0 {
			return n, nil
		}
	}
}

// write adds records for ever. Each is on the disk before its number is printed.
func write(dir string) error {
	n, err := count(dir)
	if err != nil {
		return err
	}
	for ; ; time.Sleep(pause) {
		if err := add(dir, n+1); err != nil {
			return err
		}
		n++
		fmt.Println(n)
	}
}

func add(dir string, n uint64) error {
	f, err := os.OpenFile(fileOf(dir, n), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(record(n), int64((n-1)%perFile)*recordSize); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || n%perFile != 1 {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// check prints how many records there are.
func check(dir string) error {
	n, err := count(dir)
	fmt.Println(n)
	return err
}

// things prints what the machine has of the engine.
func things() {
	for _, t := range lab.Things(&lab.Engine{Bin: "/usr/bin", Root: "/var/lib/orlop", State: "/run/orlop"}) {
		fmt.Println(t)
	}
}
