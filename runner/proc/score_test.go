package proc

import "testing"

func TestNobodyIsSparedMoreThanTheEngineMaySpare(t *testing.T) {
	for _, c := range []struct {
		want, own int
		mayLower  bool
		isSet     bool
	}{
		{0, 0, false, true},
		{0, -500, true, true},
		{0, 987, false, false},
		{0, 987, true, true},
		{500, 987, false, false},
		{1000, 987, false, true},
		{-100, 0, false, false},
	} {
		got := oomScore(c.want, c.own, c.mayLower)
		if (got != nil) != c.isSet || got != nil && *got != c.want {
			t.Errorf("%+v gives %v", c, got)
		}
	}
}
