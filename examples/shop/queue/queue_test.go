package queue

import (
	"bufio"
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"

	"shop/order"
)

func TestReadReply(t *testing.T) {
	tests := []struct {
		text string
		want any
		err  string
	}{
		{text: "+PONG\r\n", want: "PONG"},
		{text: ":3\r\n", want: int64(3)},
		{text: "$5\r\nhello\r\n", want: "hello"},
		{text: "$0\r\n\r\n", want: ""},
		{text: "$-1\r\n", want: nil},
		{text: "*-1\r\n", want: nil},
		{text: "*2\r\n$1\r\na\r\n:1\r\n", want: []any{"a", int64(1)}},
		{text: "-WRONGTYPE no list\r\n", err: "WRONGTYPE no list"},
		{text: "$9999999999\r\n", err: "too long"},
		{text: "$5\r\nhel", err: "unexpected EOF"},
		{text: "?\r\n", err: "cannot read"},
		{text: "\r\n", err: "empty"},
	}
	for _, test := range tests {
		got, err := readReply(bufio.NewReader(strings.NewReader(test.text)))
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%q: got error %v, want %q", test.text, err, test.err)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %#v, want %#v", test.text, got, test.want)
		}
	}
}

// A worker that is told to stop while it waits for an order must not wait for the order.
func TestTakeEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = bufio.NewReader(conn).ReadString('\n') // the command is on its way: no reply will come
		cancel()
		_, _ = conn.Read(make([]byte, 1<<10))
	}()
	_, err = Queue{Address: listener.Addr().String()}.Take(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v, want %v", err, context.Canceled)
	}
}

func TestPutSendsOneCommand(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sent := make(chan any, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		command, _ := readReply(bufio.NewReader(conn)) // a command looks like a reply that is a list
		sent <- command
		_, _ = conn.Write([]byte(":1\r\n"))
	}()
	q := Queue{Address: listener.Addr().String()}
	if err := q.Put(context.Background(), order.Order{ID: "1", Item: "rope", Quantity: 2}); err != nil {
		t.Fatal(err)
	}
	command, _ := (<-sent).([]any)
	if len(command) != 3 || command[0] != "LPUSH" || command[1] != waiting {
		t.Fatalf("got command %q", command)
	}
}
