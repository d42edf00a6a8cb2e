package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"slices"
	"sync"
	"time"

	"shop/order"
)

//go:embed page.html
var page []byte

// records is what the shop needs of the database.
type records interface {
	Items(context.Context) ([]order.Item, error)
	Orders(context.Context) ([]order.Order, error)
}

// line is where the shop puts orders for the worker.
type line interface {
	Put(context.Context, order.Order) error
	Waiting(context.Context) ([]order.Order, error)
}

// A shop answers the page's requests.
type shop struct {
	db     records
	orders line
	news   *news
}

func newShop(db records, orders line, news *news) http.Handler {
	s := shop{db, orders, news}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /api/items", s.items)
	mux.HandleFunc("GET /api/orders", s.list)
	mux.HandleFunc("POST /api/orders", s.place)
	mux.HandleFunc("GET /api/news", s.stream)
	return mux
}

func (s shop) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page) // the browser that went away needs no answer
}

func (s shop) items(w http.ResponseWriter, r *http.Request) {
	items, err := s.db.Items(r.Context())
	answer(w, http.StatusOK, items, err)
}

// list answers with all orders, the newest first: those in the queue and those that the worker has seen.
func (s shop) list(w http.ResponseWriter, r *http.Request) {
	waiting, err := s.orders.Waiting(r.Context())
	if err != nil {
		answer(w, 0, nil, err)
		return
	}
	seen, err := s.db.Orders(r.Context())
	known := map[string]bool{}
	for _, o := range seen {
		known[o.ID] = true
	}
	waiting = slices.DeleteFunc(waiting, func(o order.Order) bool { return known[o.ID] })
	answer(w, http.StatusOK, append(waiting, seen...), err)
}

func (s shop) place(w http.ResponseWriter, r *http.Request) {
	var o order.Order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&o); err != nil {
		http.Error(w, "an order is a JSON object", http.StatusBadRequest)
		return
	}
	if err := o.Check(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	items, err := s.db.Items(r.Context())
	if err != nil {
		answer(w, 0, nil, err)
		return
	}
	if !slices.ContainsFunc(items, func(i order.Item) bool { return i.ID == o.Item }) {
		http.Error(w, fmt.Sprintf("the shop doesn't sell %q", o.Item), http.StatusBadRequest)
		return
	}
	o.ID, o.Status, o.Placed = rand.Text()[:8], order.Waiting, time.Now().UTC()
	err = s.orders.Put(r.Context(), o)
	s.news.tell()
	answer(w, http.StatusAccepted, o, err)
}

// stream tells a page whenever orders have changed, as server-sent events.
func (s shop) stream(w http.ResponseWriter, r *http.Request) {
	changed, leave := s.news.join()
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	for {
		if _, err := fmt.Fprint(w, "data: orders\n\n"); err != nil {
			return
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func answer(w http.ResponseWriter, status int, value any, err error) {
	if err != nil {
		log.Printf("web: %v", err)
		http.Error(w, "the shop can't answer right now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the browser that went away needs no answer
}

// news tells everybody who has joined that something changed. Who is slow hears of several changes once.
type news struct {
	mu      sync.Mutex
	readers map[chan struct{}]struct{} // guarded by mu
}

func newNews() *news { return &news{readers: map[chan struct{}]struct{}{}} }

func (n *news) join() (changed <-chan struct{}, leave func()) {
	reader := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.readers[reader] = struct{}{}
	return reader, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.readers, reader)
	}
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for reader := range n.readers {
		select {
		case reader <- struct{}{}:
		default: // it has news to read already
		}
	}
}
