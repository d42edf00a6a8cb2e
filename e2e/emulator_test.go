package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// binfmt is where emulators are registered with the kernel.
const binfmt = "/proc/sys/fs/binfmt_misc"

// s390xHead is the head of a program of s390x: what an emulator is registered for, and
// all that a program needs to be whose emulator does not look at it.
const s390xHead = "\x7fELF\x02\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x16"

// emulate registers a program as the emulator of s390x for as long as the script runs,
// and writes a program of s390x: emulate BINARY PROGRAM.
func emulate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: emulate BINARY PROGRAM")
	}
	if _, err := os.Stat(filepath.Join(binfmt, "register")); err != nil {
		ts.Check(unix.Mount("binfmt_misc", binfmt, "binfmt_misc", 0, ""))
		ts.Defer(func() { _ = unix.Unmount(binfmt, unix.MNT_DETACH) })
	}
	name := "orlop-e2e-" + filepath.Base(ts.Getenv("WORK"))
	escape := func(text string) string {
		var b strings.Builder
		for _, c := range []byte(text) {
			b.WriteString(`\x` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
		}
		return b.String()
	}
	mask := strings.Repeat("\xff", len(s390xHead))
	line := ":" + name + ":M::" + escape(s390xHead) + ":" + escape(mask) + ":" + ts.MkAbs(args[0]) + ":F"
	ts.Check(os.WriteFile(filepath.Join(binfmt, "register"), []byte(line), 0o200))
	ts.Defer(func() {
		if err := os.WriteFile(filepath.Join(binfmt, name), []byte("-1"), 0o200); err != nil && !errors.Is(err, os.ErrNotExist) {
			ts.Logf("cannot take the emulator away: %v", err)
		}
	})
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[1])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(s390xHead+strings.Repeat("\x00", 64)), 0o755))
}
