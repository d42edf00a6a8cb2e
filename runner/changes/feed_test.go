package changes

import (
	"slices"
	"testing"
)

func TestAWatcherIsToldOfItsProjectAlone(t *testing.T) {
	var f Feed
	f.Tell("shop", "early") // nobody watches
	shop, all := f.Watch("shop"), f.Watch("")
	defer all.Close()
	f.Tell("shop", "a")
	f.Tell("other", "b")
	f.Tell("shop", "a")
	<-shop.News()
	<-all.News()
	if got := shop.Changed(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("of its own: %v", got)
	}
	if got := slices.Sorted(slices.Values(all.Changed())); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("of all: %v", got)
	}
	if got := shop.Changed(); len(got) > 0 {
		t.Errorf("it is told twice: %v", got)
	}
	shop.Close()
	f.Tell("shop", "c")
	select {
	case <-shop.News():
		t.Error("one that is closed is told of something")
	default:
	}
}
