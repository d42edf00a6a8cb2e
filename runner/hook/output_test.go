package hook

import (
	"slices"
	"testing"
)

// TestWhatAHookPrintsIsToldByLines, as they become whole; a last one without an end, too, and nothing after that.
func TestWhatAHookPrintsIsToldByLines(t *testing.T) {
	var said []string
	o := &output{say: func(line string) { said = append(said, line) }}
	for _, text := range []string{"one\ntw", "o\r\n", "", "rest"} {
		if n, err := o.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("of %q %d are written: %v", text, n, err)
		}
	}
	o.end()
	if _, err := o.Write([]byte("late\n")); err != nil {
		t.Error(err)
	}
	if want := []string{"one", "two", "rest"}; !slices.Equal(said, want) {
		t.Errorf("said are %q", said)
	}
}
