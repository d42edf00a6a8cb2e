// Package health lets a program answer whether it is well, and lets the same program ask: an image made from scratch
// has no curl.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Handler answers 204 when each check passes, and 503 with the reasons when one doesn't.
func Handler(checks ...func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		var failed []error
		for _, check := range checks {
			failed = append(failed, check(ctx))
		}
		if err := errors.Join(failed...); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// Ask returns an error unless the handler at url answers that all is well.
func Ask(url string) error {
	client := http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	reason, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10)) // what could be read of it is enough
	return fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(reason)))
}
