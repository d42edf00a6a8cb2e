// Command traffic answers HTTP requests as fast as it can, or asks as often as it can and
// says how often that was in a second:
//
//	traffic serve
//	traffic requests|connections|bytes ADDRESS SECONDS
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	small = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n"
	large = 1 << 30
	many  = 16 // clients at once
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "traffic:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "serve" {
		return serve()
	}
	if len(args) != 3 {
		return errors.New("usage: traffic serve | requests|connections|bytes ADDRESS SECONDS")
	}
	seconds, err := strconv.ParseFloat(args[2], 64)
	if err != nil {
		return err
	}
	var counted atomic.Int64
	ask, clients := map[string]func(string, time.Time, *atomic.Int64) error{"requests": requests, "connections": connections, "bytes": bytes}[args[0]], many
	if ask == nil {
		return fmt.Errorf("it can't ask for %q", args[0])
	}
	if args[0] == "bytes" {
		clients = 2
	}
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	errs := make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() { errs[i] = ask(args[1], end, &counted) })
	}
	all.Wait()
	fmt.Println(float64(counted.Load()) / seconds)
	return errors.Join(errs...)
}

func serve() error {
	l, err := net.Listen("tcp", ":8080")
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			in := bufio.NewReader(c)
			for {
				path, err := request(in)
				if err != nil {
					return
				}
				if path == "/large" {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", large)
					block := make([]byte, 256<<10)
					for range large / len(block) {
						if _, err := c.Write(block); err != nil {
							return
						}
					}
					continue
				}
				if _, err := io.WriteString(c, small); err != nil {
					return
				}
			}
		}()
	}
}

// request reads a head and gives its path.
func request(in *bufio.Reader) (path string, err error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	words := strings.Fields(line)
	for line != "\r\n" && err == nil {
		line, err = in.ReadString('\n')
	}
	if len(words) < 2 {
		return "", errors.New("that is no request")
	}
	return words[1], err
}

func ask(c net.Conn, path string) error {
	_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	return err
}

// requests asks again and again on one connection.
func requests(address string, end time.Time, counted *atomic.Int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	answer := make([]byte, len(small))
	for time.Now().Before(end) {
		if err := ask(c, "/"); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			return err
		}
		counted.Add(1)
	}
	return nil
}

// connections asks once on each.
func connections(address string, end time.Time, counted *atomic.Int64) error {
	answer := make([]byte, len(small))
	for time.Now().Before(end) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		err = ask(c, "/")
		if err == nil {
			_, err = io.ReadFull(c, answer)
		}
		// Without a reset the ports of the client run out.
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
		if err != nil {
			return err
		}
		counted.Add(1)
	}
	return nil
}

// bytes takes as much as comes.
func bytes(address string, end time.Time, counted *atomic.Int64) error {
	block := make([]byte, 256<<10)
	for time.Now().Before(end) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if err := ask(c, "/large"); err != nil {
			return err
		}
		for got := 0; got < large && time.Now().Before(end); {
			n, err := c.Read(block)
			if err != nil {
				return err
			}
			got += n
			counted.Add(int64(n))
		}
		c.Close()
	}
	return nil
}
