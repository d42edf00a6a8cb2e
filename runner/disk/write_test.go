package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// writeEnv names the file that this program, started again, writes.
const writeEnv = "ORLOP_TEST_WRITE"

// TestWriteAFile is no test: it is what the next one looks at.
func TestWriteAFile(t *testing.T) {
	path := os.Getenv(writeEnv)
	if path == "" {
		t.Skip("SKIPPED: it is the process that another test starts")
	}
	if err := Write(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsWrittenOutlivesALossOfPower: the content is on the disk before it
// has the name, and the name before the write is done.
//
// Fault 14: power is lost while a small file, as the record beside a volume, is written
// Seen: nothing
// Kept: the file as it was before or as it is now, never half of it
func TestWhatIsWrittenOutlivesALossOfPower(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("SKIPPED: needs strace")
	}
	path, calls := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "calls")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(strace, "-f", "-y", "-o", calls, "-e", "trace=write,fsync,rename,renameat,renameat2", os.Args[0], "-test.run", "^TestWriteAFile$")
	c.Env = append(os.Environ(), writeEnv+"="+path)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
		t.Fatalf("it is %q, %v", text, err)
	}
	trace, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	dir := regexp.QuoteMeta(filepath.Dir(path))
	order := fmt.Sprintf(`(?s)write\(\d+<%[1]s/\.new-\d+>, "new".*fsync\(\d+<%[1]s/\.new-\d+>\) += 0.*rename\w*\([^\n]*%[1]s/file".*fsync\(\d+<%[1]s>\) += 0`, dir)
	if !regexp.MustCompile(order).Match(trace) {
		var ours []string
		for line := range strings.Lines(string(trace)) {
			if strings.Contains(line, filepath.Dir(path)) {
				ours = append(ours, line)
			}
		}
		t.Errorf("the calls are\n%s", strings.Join(ours, ""))
	}
}
