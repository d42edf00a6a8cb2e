package spec

import "testing"

func TestANumberOfThings(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Plural(0, "file"), "0 files"}, {Plural(1, "file"), "1 file"}, {Plural(2, "file"), "2 files"},
		{Plural(1, "entry"), "1 entry"}, {Plural(20_000, "entry"), "20000 entries"}, {Plural(3, "key"), "3 keys"}, {Plural(3, "day"), "3 days"},
		{Times(1), "once"}, {Times(2), "2 times"}, {Times(0), "0 times"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
