package engine

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/orlop/orlop/api"
)

// TestAFileIsSentInParts: whole, an empty one too, and none without a need.
func TestAFileIsSentInParts(t *testing.T) {
	for size, want := range map[int]int{0: 1, 1: 1, filePart: 1, filePart + 1: 2, 3 * filePart: 3} {
		content := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
		var got []byte
		parts := 0
		err := sendFile("/log", iotest.OneByteReader(bytes.NewReader(content)), func(p *api.FilePart) error {
			if p.Path != "/log" || len(p.Content) > filePart {
				t.Errorf("a part of %d bytes of %s", len(p.Content), p.Path)
			}
			parts++
			got = append(got, p.Content...)
			return nil
		})
		if err != nil || !bytes.Equal(got, content) || parts != want {
			t.Errorf("%d bytes come as %d in %d parts, want %d: %v", size, len(got), parts, want, err)
		}
	}
}

func TestAFileThatCantBeReadOrSentIsNoWholeOne(t *testing.T) {
	broken := errors.New("broken")
	taken := func(*api.FilePart) error { return nil }
	if err := sendFile("/log", io.MultiReader(bytes.NewReader([]byte("half")), iotest.ErrReader(broken)), taken); !errors.Is(err, broken) {
		t.Errorf("half a file is sent: %v", err)
	}
	if err := sendFile("/log", bytes.NewReader(nil), func(*api.FilePart) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a caller that is gone is told of files: %v", err)
	}
}
