package up

import "testing"

func TestInterrupts(t *testing.T) {
	for _, c := range []struct {
		from stage
		want []response
	}{
		{applying, []response{cancelApply, leave, leave}},
		{attached, []response{stopServices, killServices, leave, leave}},
	} {
		s := c.from
		for i, want := range c.want {
			var got response
			if s, got = s.interrupt(); got != want {
				t.Errorf("interrupt %d from stage %d gives %d, want %d", i+1, c.from, got, want)
			}
		}
	}
}
