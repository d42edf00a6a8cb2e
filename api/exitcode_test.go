package api

import (
	"testing"

	"google.golang.org/grpc/metadata"
)

func TestAnExitCodeGoesByTheTrailer(t *testing.T) {
	for _, code := range []int{0, 126, 127} {
		if got := ExitCodeOf(ExitCode(int32(code))); got != code {
			t.Errorf("%d became %d", code, got)
		}
	}
	if got := ExitCodeOf(metadata.Pairs(exitCode, "none")); got != 0 {
		t.Errorf("what is no number became %d", got)
	}
}
