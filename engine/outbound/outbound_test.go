package outbound

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAServerThatIsSilentIsGivenUp, but one that answers and then takes its time is not, nor one that is sent something.
func TestAServerThatIsSilentIsGivenUp(t *testing.T) {
	const patience = 50 * time.Millisecond
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/silent":
			<-end
		case r.Method == http.MethodPut:
			<-time.After(2 * patience)
		default:
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-time.After(2 * patience)
			_, _ = io.WriteString(w, "late")
		}
	}))
	defer server.Close()
	defer close(end)
	client := http.Client{Transport: &Transport{Base: http.DefaultTransport, Callers: &Callers{}, Patience: patience}}
	if _, err := client.Get(server.URL + "/silent"); err == nil || !strings.Contains(err.Error(), "has not answered for 50ms") {
		t.Errorf("of a silent one the error is %v", err)
	}
	resp, err := client.Get(server.URL + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "late" {
		t.Errorf("a slow one says %q, %v", text, err)
	}
	put, err := http.NewRequest(http.MethodPut, server.URL+"/blob", nil)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := client.Do(put)
	if err != nil {
		t.Fatalf("what is sent: %v", err)
	}
	sent.Body.Close()
}
