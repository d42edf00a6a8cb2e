package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

// runTrial is what orlopd does in the containers of "orlop doctor": without an
// address it answers on port 80 with a word, with one it asks for that word.
func runTrial(args []string) int {
	err := error(nil)
	if len(args) > 0 {
		err = askFor(args[0])
	} else {
		err = answer()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const trialWord = "orlop\n"

func answer() error {
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_, _ = io.WriteString(c, trialWord) // who has gone asks again
		c.Close()
	}
}

func askFor(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	word, err := io.ReadAll(io.LimitReader(c, 64))
	if err == nil && string(word) != trialWord {
		err = fmt.Errorf("%s said %q", address, word)
	}
	return err
}
