package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"shop/order"
)

type fakeShelf struct{ seen []order.Order }

func (fakeShelf) Items(context.Context) ([]order.Item, error) {
	return []order.Item{{ID: "rope", Name: "Rope", Cents: 100}}, nil
}

func (f fakeShelf) Orders(context.Context) ([]order.Order, error) { return f.seen, nil }

type fakeLine struct{ orders []order.Order }

func (f *fakeLine) Put(_ context.Context, o order.Order) error {
	f.orders = append(f.orders, o)
	return nil
}

func (f *fakeLine) Waiting(context.Context) ([]order.Order, error) { return f.orders, nil }

func TestPlacingAnOrder(t *testing.T) {
	tests := []struct {
		body   string
		status int
	}{
		{`{"item":"rope","quantity":2}`, http.StatusAccepted},
		{`{"item":"rope","quantity":0}`, http.StatusBadRequest},
		{`{"item":"rope","quantity":100}`, http.StatusBadRequest},
		{`{"item":"anchor","quantity":1}`, http.StatusBadRequest},
		{`{"quantity":1}`, http.StatusBadRequest},
		{`rope`, http.StatusBadRequest},
	}
	for _, test := range tests {
		var line fakeLine
		answer := httptest.NewRecorder()
		newShop(fakeShelf{}, &line, newNews()).ServeHTTP(answer,
			httptest.NewRequest("POST", "/api/orders", strings.NewReader(test.body)))
		if answer.Code != test.status {
			t.Errorf("%s: got status %d, want %d", test.body, answer.Code, test.status)
		}
		if accepted := test.status == http.StatusAccepted; accepted != (len(line.orders) == 1) {
			t.Errorf("%s: %d orders in the queue", test.body, len(line.orders))
		}
	}
}

func TestAnOrderIsListedOnce(t *testing.T) {
	line := fakeLine{orders: []order.Order{{ID: "2", Status: order.Waiting}, {ID: "1", Status: order.Waiting}}}
	shelf := fakeShelf{seen: []order.Order{{ID: "1", Status: order.Packing}}}
	answer := httptest.NewRecorder()
	newShop(shelf, &line, newNews()).ServeHTTP(answer, httptest.NewRequest("GET", "/api/orders", nil))
	var got []order.Order
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "2" || got[1].Status != order.Packing {
		t.Errorf("got %+v, want order 2 waiting and order 1 packing", got)
	}
}

func TestNewsReachesAPage(t *testing.T) {
	news := newNews()
	server := httptest.NewServer(newShop(fakeShelf{}, &fakeLine{}, news))
	defer server.Close()
	response, err := http.Get(server.URL + "/api/news")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for i := range 2 { // the first comes at once, the second when something has changed
		if !lines.Scan() || lines.Text() != "data: orders" || !lines.Scan() {
			t.Fatalf("event %d: got %q", i, lines.Text())
		}
		news.tell()
	}
}
