package image

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/orlop/orlop/runner/retry"
)

// waiting is what a pull waits for, in words; "" is nothing.
type waiting struct {
	mu   sync.Mutex
	text string // guarded by mu
}

func (w *waiting) set(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = text
}

func (w *waiting) get() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}

// patiently has registries asked again when they say.
func patiently(hosts docker.RegistryHosts, tell func(text string)) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		for i := range list {
			client := http.Client{}
			if list[i].Client != nil {
				client = *list[i].Client
			}
			if client.Transport == nil {
				client.Transport = http.DefaultTransport
			}
			client.Transport = &patient{client.Transport, tell}
			list[i].Client = &client
		}
		return list, err
	}
}

// patient waits as long as a registry asks for that is busy, within reason. containerd asks it again at
// once, and then gives up.
type patient struct {
	base http.RoundTripper
	tell func(text string)
}

// RoundTrip sends a request.
func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := p.base.RoundTrip(req)
		if err != nil || attempt == retry.Attempts || req.Body != nil && req.Body != http.NoBody || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
			return resp, err
		}
		after := retry.After(resp.Header.Get("Retry-After"), time.Now())
		if after <= 0 || after > retry.Longest {
			return resp, nil
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
		p.tell(fmt.Sprintf("the registry is busy: again in %d s", int64(after.Round(time.Second)/time.Second)))
		if err := retry.Sleep(req.Context(), after); err != nil {
			return nil, err
		}
		p.tell("")
	}
}
