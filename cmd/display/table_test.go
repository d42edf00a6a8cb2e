package display_test

import (
	"fmt"
	"testing"

	"github.com/orlop/orlop/cmd/display"
)

// writes are the texts that were written, each by one call.
type writes []string

func (w *writes) Write(text []byte) (int, error) {
	*w = append(*w, string(text))
	return len(text), nil
}

func TestATableIsWrittenAtOnce(t *testing.T) {
	var got writes
	table := display.NewTable(&got)
	fmt.Fprintln(table, "NAME\tSTATUS")
	fmt.Fprintln(table, "shop-web-1\tUp 2 minutes")
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "NAME         STATUS\nshop-web-1   Up 2 minutes\n"; len(got) != 1 || got[0] != want {
		t.Errorf("written is %q", got)
	}
}
