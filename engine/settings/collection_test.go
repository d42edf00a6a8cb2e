package settings

import (
	"testing"

	"github.com/orlop/orlop/spec/yamlfile"
)

// A size counts as the tables that it is held against do.
func TestKeepCountsAsItIsShown(t *testing.T) {
	c := Collection{Images: Rule{KeepText: "40gb"}, Cache: Rule{KeepText: "10GiB"}}
	if err := c.check(&yamlfile.File{}); err != nil || c.Images.Keep != 40_000_000_000 || c.Cache.Keep != 10<<30 {
		t.Errorf("%+v, %v", c, err)
	}
}
