// Package queue keeps orders in Redis between the page that takes them and the worker that fills them.
// It speaks the few commands that this needs, and no more of Redis.
package queue

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"shop/order"
)

// The lists in Redis. An order is in exactly one of them until it is filled, whatever dies meanwhile.
const (
	waiting = "orders:waiting"
	taken   = "orders:taken"
)

// A Queue is where a Redis server answers. It opens a connection for each call, so that it survives restarts of the
// server; it is safe for use by several goroutines.
type Queue struct {
	Address string // host:port
}

// Put adds an order at the end.
func (q Queue) Put(ctx context.Context, o order.Order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = q.do(ctx, "LPUSH", waiting, string(text))
	return err
}

// Take waits for an order. The order stays in Redis as taken until it is Done. It returns ctx's error when that ends.
func (q Queue) Take(ctx context.Context) (order.Order, error) {
	for {
		reply, err := q.do(ctx, "BLMOVE", waiting, taken, "RIGHT", "LEFT", "30")
		if err != nil {
			return order.Order{}, err
		}
		text, ok := reply.(string)
		if !ok {
			continue // half a minute without an order
		}
		var o order.Order
		if err := json.Unmarshal([]byte(text), &o); err != nil {
			return order.Order{}, fmt.Errorf("an order in the queue can't be read: %w", err)
		}
		return o, nil
	}
}

// Done forgets an order that was taken.
func (q Queue) Done(ctx context.Context, o order.Order) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = q.do(ctx, "LREM", taken, "1", string(text))
	return err
}

// Restore puts back what an earlier worker had taken and not done. The oldest is taken again first.
func (q Queue) Restore(ctx context.Context) error {
	for {
		reply, err := q.do(ctx, "LMOVE", taken, waiting, "LEFT", "RIGHT")
		if err != nil || reply == nil {
			return err
		}
	}
}

// Waiting returns the orders that nobody has taken yet, the newest first.
func (q Queue) Waiting(ctx context.Context) ([]order.Order, error) {
	reply, err := q.do(ctx, "LRANGE", waiting, "0", "49")
	if err != nil {
		return nil, err
	}
	var orders []order.Order
	texts, _ := reply.([]any)
	for _, text := range texts {
		var o order.Order
		if s, ok := text.(string); ok && json.Unmarshal([]byte(s), &o) == nil {
			orders = append(orders, o)
		}
	}
	return orders, nil
}

// Ping asks whether Redis answers.
func (q Queue) Ping(ctx context.Context) error {
	_, err := q.do(ctx, "PING")
	return err
}

// do sends one command on a connection of its own. It gives up when ctx ends.
func (q Queue) do(ctx context.Context, command ...string) (any, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", q.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot reach Redis: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	reply, err := roundTrip(conn, command)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("redis %s: %w", command[0], err)
	}
	return reply, nil
}

func roundTrip(conn io.ReadWriter, command []string) (any, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "*%d\r\n", len(command))
	for _, word := range command {
		fmt.Fprintf(&text, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(conn, text.String()); err != nil {
		return nil, err
	}
	return readReply(bufio.NewReader(conn))
}

// maxReply is the longest string, and the longest list, that is believed, in bytes and in entries.
const maxReply = 1 << 20

// readReply reads one reply of the protocol RESP2: a string, an int64, a list, or nil.
func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("an empty reply")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("cannot read the reply %q", line)
	}
	switch {
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, nil
	case n > maxReply:
		return nil, fmt.Errorf("a reply of %d is too long", n)
	case kind == '$':
		text := make([]byte, n+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		return string(text[:n]), nil
	case kind == '*':
		var list []any
		for range n {
			entry, err := readReply(r)
			if err != nil {
				return nil, err
			}
			list = append(list, entry)
		}
		return list, nil
	}
	return nil, fmt.Errorf("cannot read the reply %q", line)
}
