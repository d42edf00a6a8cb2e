package stackfile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// large is a stack of n services, each with what services have: ports, volumes, a
// health check, a dependency, networks, environment, labels.
func large(tb testing.TB, n int) string {
	tb.Helper()
	service, err := os.ReadFile(filepath.Join("testdata", "large", "service.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("services:\n  s100:\n    image: busybox\n    healthcheck: {test: [CMD, \"true\"]}\n")
	for i := 101; i <= 99+n; i++ {
		b.WriteString(strings.NewReplacer("N", strconv.Itoa(i), "sP", fmt.Sprint("s", i-1)).Replace(string(service)))
	}
	b.WriteString("volumes:\n  data:\nnetworks:\n  front:\n  back:\n")
	return b.String()
}

// BenchmarkLoad500 is to stay below 40 ms of processor time, collection of garbage
// included.
func BenchmarkLoad500(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(large(b, 500)), 0o644); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p, diagnostics, err := Load(context.Background(), Options{Dir: dir})
		if err != nil || len(p.Services) != 500 || len(diagnostics) > 0 {
			b.Fatal(err, diagnostics)
		}
	}
}
