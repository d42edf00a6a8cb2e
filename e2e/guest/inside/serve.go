package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/orlop/orlop/e2e/guest/wire"
)

// server carries out commands, all at once.
type server struct {
	mu  sync.Mutex // guards out: one reply is sent at a time
	out *json.Encoder
}

// serve does what the test asks for until the machine ends.
func serve() error {
	path, err := port()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	s := &server{out: json.NewEncoder(f)}
	s.reply(wire.Reply{})
	for in := json.NewDecoder(f); ; {
		var r wire.Request
		if err := in.Decode(&r); err != nil {
			return err
		}
		go s.run(r)
	}
}

// port finds the device of the serial port by its name.
func port() (string, error) {
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, n := range names {
		text, _ := os.ReadFile(n)
		if strings.TrimSpace(string(text)) == wire.Port {
			return "/dev/" + filepath.Base(filepath.Dir(n)), nil
		}
	}
	return "", fmt.Errorf("the machine has no serial port %s", wire.Port)
}

func (s *server) reply(r wire.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(r) // who would hear of it is gone
}

// run runs one command; its output is passed on as it comes.
func (s *server) run(r wire.Request) {
	c := exec.Command(r.Argv[0], r.Argv[1:]...)
	c.Dir = r.Dir
	c.Stdout = writer(func(p []byte) { s.reply(wire.Reply{ID: r.ID, Output: p}) })
	c.Stderr = writer(func(p []byte) { s.reply(wire.Reply{ID: r.ID, Errors: p}) })
	err := c.Run()
	code := 0
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		status := ended.Sys().(syscall.WaitStatus)
		if code = status.ExitStatus(); status.Signaled() {
			code = 128 + int(status.Signal())
		}
	case err != nil:
		code = 127
		s.reply(wire.Reply{ID: r.ID, Errors: []byte(err.Error())})
	}
	s.reply(wire.Reply{ID: r.ID, Ended: true, Code: code})
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}
