package engine

import (
	"log/slog"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/orlop/orlop/engine/store"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// open opens a store.
func open(t testing.TB, path string) (*store.Store, string) {
	t.Helper()
	s, warning, err := store.Open(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s, warning
}

// badKey is one that bbolt does not take: what is saved under it can't be written.
var badKey = strings.Repeat("k", bolt.MaxKeySize+1)
