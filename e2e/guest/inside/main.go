// Command inside is the program of a guest: its first process, which mounts
// what there is and takes in orphans; the one that carries out what the test
// asks for; and small things that tests do in there.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	var err error
	switch name := verb(); name {
	case "":
		err = boot()
	case "serve":
		err = serve()
	case "things":
		things()
	case "write":
		err = write(os.Args[2])
	case "eat":
		err = eat()
	case "check":
		err = check(os.Args[2])
	default:
		err = fmt.Errorf("there is no %q", name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// verb is what is to be done; "" as the first process of a machine, which is
// not the first of a container.
func verb() string {
	if os.Args[0] == "/init" {
		return ""
	}
	if len(os.Args) < 2 {
		return "nothing"
	}
	return os.Args[1]
}

// eat takes all memory that there is, by system calls that fill it: its own
// program may be gone from memory by then.
func eat() error {
	for {
		if _, err := unix.Mmap(-1, 0, 32<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE); err != nil {
			return err
		}
	}
}
