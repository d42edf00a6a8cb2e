package machine

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Outlet is an HTTP proxy on the machine by which builds reach what they fetch: nothing else leads out.
const Outlet = "http://" + Address + ":3128"

// openOutlet listens on the machine that a process is on, for as long as this one runs; what it connects to is outside.
func openOutlet(pid int) error {
	listening := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with this function
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			listening <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			listening <- err
			return
		}
		l, err := net.Listen("tcp", "0.0.0.0:3128")
		if err == nil {
			go func() { _ = http.Serve(l, http.HandlerFunc(pass)) }()
		}
		listening <- err
	}()
	if err := <-listening; err != nil {
		return fmt.Errorf("cannot listen on the machine: %w", err)
	}
	return nil
}

// pass carries a request out.
func pass(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		tunnel(w, r.Host)
		return
	}
	r.RequestURI = ""
	r.Header.Del("Proxy-Connection")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	for name, values := range res.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

func tunnel(w http.ResponseWriter, address string) {
	there, err := net.DialTimeout("tcp", address, 20*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if _, err := io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{}, 2)
	carry := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go carry(there, buffered)
	go carry(here, there)
	<-done
}
