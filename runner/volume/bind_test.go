package volume

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestASourceThatCannotBeMadeIsNotMade(t *testing.T) {
	dir := rootfs(t, map[string]string{"file": "x", "dangling": "->/nonexistent/zz", "circle": "->circle", "dir/file": "x"})
	made := &spec.BindOptions{CreateHostPath: true}
	for source, want := range map[string]string{
		"dangling":      "it is a link to /nonexistent/zz, which does not exist",
		"dangling/more": "a part of its path is not a directory",
		"file/more":     "a part of its path is not a directory",
		"circle":        "its symbolic links form a loop",
		"dir":           "",
		"file":          "",
	} {
		err := ensureBindSource(t.Context(), spec.Mount{Source: dir + "/" + source, Target: "/x", Bind: made}, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}
