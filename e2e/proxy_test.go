package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// startProxy: proxy FILE PORT is an HTTP proxy on 127.0.0.1 until the script ends. It asks
// nobody: each page is its own, and says FILE. What it is asked for goes to FILE.
func startProxy(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "proxy FILE PORT")
	asked, err := os.OpenFile(ts.MkAbs(args[0]), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	ts.Check(err)
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", args[1]))
	ts.Check(err)
	var mu sync.Mutex
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(asked, r.Method, r.URL)
		fmt.Fprintln(w, "by", args[0])
	})}
	go server.Serve(l)
	ts.Defer(func() { server.Close(); asked.Close() })
}
