// Command inside is the program of a guest: its first process, which mounts
// what there is and takes in orphans; the one that carries out what the test
// asks for; and small things that tests do in there.
package main

import (
	"fmt"
	"os"
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
		eat()
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

// eat takes all memory that there is.
func eat() {
	var all [][]byte
	for {
		bite := make([]byte, 4<<20)
		for i := 0; i < len(bite); i += 4096 {
			bite[i] = byte(len(all)) | 1
		}
		all = append(all, bite)
	}
}
