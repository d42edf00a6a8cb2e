// Package acceptance tests a running shop from outside, through its API. The
// variable SHOP_URL says where it is; without it there is nothing to test.
package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"shop/order"
)

// patience is how long the shop may take for anything.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if err := results.write(os.Getenv("JUNIT_FILE")); err != nil {
		os.Stderr.WriteString("cannot write the report: " + err.Error() + "\n")
		code = max(code, 1)
	}
	os.Exit(code)
}

// shop is a running shop.
type shop struct {
	*testing.T
	url string
}

// visit skips the test where no shop is, and notes how it ends.
func visit(t *testing.T) shop {
	t.Helper()
	results.follow(t)
	url := os.Getenv("SHOP_URL")
	if url == "" {
		t.Skip("SKIPPED: needs a running shop: SHOP_URL=http://localhost:8080 go test ./acceptance, or orlop ci")
	}
	return shop{t, url}
}

// ask sends a request and gives the status and the body.
func (s shop) ask(method, path, body string) (int, string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestThePageIsServed(t *testing.T) {
	status, body := visit(t).ask(http.MethodGet, "/", "")
	if status != http.StatusOK || !strings.Contains(strings.ToLower(body), "<!doctype html") {
		t.Errorf("the page has status %d and begins %.60q", status, body)
	}
}

func TestThereAreThingsToBuy(t *testing.T) {
	status, body := visit(t).ask(http.MethodGet, "/api/items", "")
	var items []order.Item
	if err := json.Unmarshal([]byte(body), &items); err != nil || status != http.StatusOK || len(items) == 0 {
		t.Errorf("status %d, %d items, %v", status, len(items), err)
	}
}

func TestNonsenseIsNoOrder(t *testing.T) {
	s := visit(t)
	for _, body := range []string{"", "rope", `{"item":"rope","quantity":0}`, `{"item":"nothing we sell","quantity":-1}`} {
		if status, _ := s.ask(http.MethodPost, "/api/orders", body); status < 400 || status >= 500 {
			t.Errorf("order %q has status %d", body, status)
		}
	}
}

// TestAnOrderIsShipped follows an order through the queue, the worker and the
// database, as the page does: the shop sends news of each change.
func TestAnOrderIsShipped(t *testing.T) {
	s := visit(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/news", nil)
	if err != nil {
		t.Fatal(err)
	}
	news, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer news.Body.Close()

	status, body := s.ask(http.MethodPost, "/api/orders", `{"item":"rope","quantity":2}`)
	if status >= 300 {
		t.Fatalf("the order has status %d: %s", status, body)
	}
	last := ""
	for lines := bufio.NewScanner(news.Body); lines.Scan(); {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if _, last = s.ask(http.MethodGet, "/api/orders", ""); strings.Contains(last, `"shipped"`) {
			return
		}
	}
	t.Errorf("the order is never shipped; the orders are %s", last)
}
