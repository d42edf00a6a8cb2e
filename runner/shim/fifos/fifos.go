// Package fifos keeps what is in named pipes: it is gone as soon as nobody has them open.
package fifos

import (
	"os"

	"golang.org/x/sys/unix"
)

// Held are the reading ends of named pipes, held open and never read from.
type Held []*os.File

// Hold opens those of some paths that are named pipes.
func Hold(paths ...string) (held Held) {
	for _, path := range paths {
		if st, err := os.Stat(path); err != nil || st.Mode().Type() != os.ModeNamedPipe {
			continue
		}
		if f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0); err == nil {
			held = append(held, f)
		}
	}
	return held
}

// Close lets go of them.
func (h Held) Close() {
	for _, f := range h {
		f.Close()
	}
}
