package exec

import (
	"testing"
	"time"
)

func TestAProbeThatTookTooLongSaysWhatItPrinted(t *testing.T) {
	for output, want := range map[string]string{"": "timed out after 3s", "waiting\n": "timed out after 3s: waiting"} {
		if err := timedOut(3*time.Second, output); err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
}

func TestBoundedOutput(t *testing.T) {
	b := &boundedBuffer{limit: 5}
	for _, p := range []string{"abc", "def", "ghi"} {
		if n, err := b.Write([]byte(p)); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if b.String() != "abcde" {
		t.Errorf("%q", b.String())
	}
}
