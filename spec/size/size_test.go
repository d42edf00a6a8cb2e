package size

import "testing"

// TestASizeIsReadAsItIsPrinted: what a table says can be given to a flag.
func TestASizeIsReadAsItIsPrinted(t *testing.T) {
	for text, want := range map[string]int64{
		"100MB": 100_000_000, "100mb": 100_000_000, "41.0 MB": 41_000_000, "2g": 2_000_000_000, "1.5 kB": 1500, "7": 7, "999 B": 999, "0": 0, "1TB": 1_000_000_000_000,
		"100MiB": 100 << 20, "100mi": 100 << 20, "10GiB": 10 << 30,
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "MB", "much", "-1MB", "5i", "5iB", "5bb", "5xb", "0.1", "1e30TB", "5 M B"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is taken, as %d", text, got)
		}
	}
}
