package ownrange

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// rangeEnv names the file in which this program, started again, keeps its range.
const rangeEnv = "ORLOP_TEST_RANGE"

// The range of a root is drawn once.
func TestTheRangeOfOurOwnStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "range")
	first, err := Of(path)
	if err != nil || first.Bits() != 48 || !netip.MustParsePrefix("fd00::/8").Contains(first.Addr()) {
		t.Fatalf("%v, %v", first, err)
	}
	if again, err := Of(path); err != nil || again != first {
		t.Errorf("then %v, %v; first %v", again, err, first)
	}
	if other, err := Of(path + "2"); err != nil || other == first {
		t.Errorf("of another root %v, %v", other, err)
	}
	if err := os.WriteFile(path, []byte("10.0.0.0/8"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Of(path); err == nil {
		t.Errorf("a range of IPv4 is taken: %v", p)
	}
}

// TestTheRangeIsDrawnElsewhere is no test: it is what the next one looks at.
func TestTheRangeIsDrawnElsewhere(t *testing.T) {
	path := os.Getenv(rangeEnv)
	if path == "" {
		t.Skip("SKIPPED: it is the process that another test starts")
	}
	if _, err := Of(path); err != nil {
		t.Fatal(err)
	}
}

// The range of a root is on the disk before a network has any of it.
func TestTheRangeOfOurOwnOutlivesALossOfPower(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED: needs strace")
	}
	dir, calls := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	c := exec.Command(strace, "-f", "-y", "-o", calls, "-e", "trace=fsync,rename,renameat,renameat2", os.Args[0], "-test.run", "^TestTheRangeIsDrawnElsewhere$")
	c.Env = append(os.Environ(), rangeEnv+"="+filepath.Join(dir, "range"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	trace, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	dir = regexp.QuoteMeta(dir)
	if order := `(?s)fsync\(\d+<` + dir + `/[^>]+>\) += 0.*rename\w*\([^\n]*` + dir + `/range".*fsync\(\d+<` + dir + `>\) += 0`; !regexp.MustCompile(order).Match(trace) {
		t.Errorf("it did\n%s", trace)
	}
}
