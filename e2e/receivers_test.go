package e2e

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiver takes logs, and writes what it gets to a file.
type receiver struct {
	file   *os.File
	end    io.Closer
	socket string // its path, if it has one

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
	over  bool       // guarded by mu
	wg    sync.WaitGroup
}

// receive: receive begin NAME KIND ADDRESS FILE, receive end NAME.
func receive(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "receive begin NAME udp|tcp|unix|unixgram|fluentd|stalled ADDRESS FILE, receive end NAME"
	use(ts, neg, args, 2, 5, usage)
	key := receiverKey(args[1])
	switch {
	case args[0] == "begin" && len(args) == 5:
		r, err := newReceiver(args[2], args[3], ts.MkAbs(args[4]))
		ts.Check(err)
		receivers.Store(ts.Getenv("WORK")+string(key), r)
		ts.Defer(r.close)
	case args[0] == "end" && len(args) == 2:
		r, ok := receivers.LoadAndDelete(ts.Getenv("WORK") + string(key))
		if !ok {
			ts.Fatalf("there is no receiver %s", args[1])
		}
		r.(*receiver).close()
	default:
		ts.Fatalf("usage: %s", usage)
	}
}

type receiverKey string

// receivers are those of all scripts, by their directories and names.
var receivers sync.Map

func newReceiver(kind, address, file string) (*receiver, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	r := &receiver{file: f}
	network := kind
	if kind == "fluentd" || kind == "stalled" {
		network = "tcp"
	}
	if filepath.IsAbs(address) {
		if kind == "fluentd" {
			network = "unix"
		}
		if err := os.MkdirAll(filepath.Dir(address), 0o755); err != nil {
			return nil, err
		}
		r.socket = address
	}
	if kind == "udp" || kind == "unixgram" {
		return r, r.takePackets(network, address)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	r.end = l
	r.wg.Go(func() { r.accept(l, kind) })
	return r, nil
}

func (r *receiver) takePackets(network, address string) error {
	conn, err := net.ListenPacket(network, address)
	if err != nil {
		return err
	}
	r.end = conn
	r.wg.Go(func() {
		buf := make([]byte, 1<<20)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = r.file.Write(buf[:n])
		}
	})
	return nil
}

func (r *receiver) accept(l net.Listener, kind string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.over {
			conn.Close()
		}
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
		r.wg.Go(func() {
			switch kind {
			case "fluentd":
				_ = r.takeEvents(conn)
			case "stalled": // it takes what fits into the kernel's buffers
			default:
				_, _ = io.Copy(r.file, conn)
			}
		})
	}
}

// takeEvents writes events of the forward protocol as lines of JSON, and acknowledges
// those that want that.
func (r *receiver) takeEvents(conn net.Conn) error {
	in := bufio.NewReader(conn)
	for {
		v, err := unpack(in)
		if err != nil {
			return err
		}
		line, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if _, err := r.file.Write(append(line, '\n')); err != nil {
			return err
		}
		event, _ := v.([]any)
		if len(event) < 4 {
			continue
		}
		if chunk, ok := event[3].(map[string]any)["chunk"].(string); ok {
			answer := append([]byte{0x81, 0xa3}, "ack"...)
			answer = append(answer, 0xd9, byte(len(chunk)))
			if _, err := conn.Write(append(answer, chunk...)); err != nil {
				return err
			}
		}
	}
}

func (r *receiver) close() {
	r.end.Close()
	if r.socket != "" {
		_ = os.Remove(r.socket)
		_ = os.Remove(filepath.Dir(r.socket)) // if it was made for it
	}
	r.mu.Lock()
	r.over = true
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
	r.file.Close()
}

// unpack reads a value of MessagePack.
func unpack(in *bufio.Reader) (any, error) {
	b, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	switch {
	case b < 0x80:
		return int(b), nil
	case b&0xf0 == 0x80:
		return unpackMap(in, int(b&0xf))
	case b&0xf0 == 0x90:
		return unpackList(in, int(b&0xf))
	case b&0xe0 == 0xa0:
		return unpackText(in, int(b&0x1f))
	}
	sizes := map[byte]int{0xd9: 1, 0xda: 2, 0xdb: 4, 0xd3: 8, 0xde: 2, 0xd7: 9}
	head := make([]byte, sizes[b])
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(append(make([]byte, 8), head...)[len(head):])
	switch b {
	case 0xd9, 0xda, 0xdb:
		return unpackText(in, int(n))
	case 0xde:
		return unpackMap(in, int(n))
	case 0xd3:
		return n, nil
	case 0xd7:
		return fmt.Sprintf("%d.%09d", binary.BigEndian.Uint32(head[1:]), binary.BigEndian.Uint32(head[5:])), nil
	}
	return nil, fmt.Errorf("unknown type %x", b)
}

func unpackText(in *bufio.Reader, n int) (any, error) {
	if n > 1<<20 {
		return nil, errors.New("a text is too long")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(in, b)
	return string(b), err
}

func unpackList(in *bufio.Reader, n int) (any, error) {
	var list []any
	for range n {
		v, err := unpack(in)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func unpackMap(in *bufio.Reader, n int) (any, error) {
	m := map[string]any{}
	for range n {
		k, err := unpack(in)
		if err != nil {
			return nil, err
		}
		v, err := unpack(in)
		if err != nil {
			return nil, err
		}
		m[fmt.Sprint(k)] = v
	}
	return m, nil
}
