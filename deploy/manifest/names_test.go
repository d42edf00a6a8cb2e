package manifest

import (
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestDollarsStayWhatTheyAre(t *testing.T) {
	// What Kubernetes makes of a text: "$$" is "$", "$(NAME)" a variable, and a "$" before anything else itself.
	expand := func(s string) (out string) {
		for i := 0; i < len(s); i++ {
			if s[i] == '$' && i+1 < len(s) && s[i+1] == '$' {
				i++
			} else if s[i] == '$' && i+1 < len(s) && s[i+1] == '(' {
				return out + "VARIABLE"
			}
			out += string(s[i])
		}
		return out
	}
	for _, text := range []string{"", "a", "$", "$$", "$$$", "$(A)", "$$(A)", "$$$(A)", "a$b", "${A}", "$(", "($)"} {
		if got := expand(literal(text)); got != text {
			t.Errorf("%q becomes %q, which is %q there", text, literal(text), got)
		}
	}
}

func TestAmountsAreAsTheAPIServerWritesThem(t *testing.T) {
	for n, want := range map[spec.Bytes]string{0: "0", 1: "1", 1000: "1k", 1024: "1Ki", 1536: "1536", 256 << 20: "256Mi", 1 << 30: "1Gi", 1_000_000: "1M"} {
		if got := memory(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
	for n, want := range map[float64]string{0.5: "500m", 1: "1", 1.5: "1500m", 0.0001: "1m", 0.25: "250m"} {
		if got := cores(n); got != want {
			t.Errorf("%v processors are %s, want %s", n, got, want)
		}
	}
}

func TestNamesAreThoseOfTheDNS(t *testing.T) {
	for name, want := range map[string]string{"web": "web", "My_Service": "my-service", "a.b": "a-b", "-x-": "x", "_": ""} {
		if got := DNSName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	long := ""
	for range 70 {
		long += "a"
	}
	if n := len(contentName(long, "x")); n > maxName {
		t.Errorf("a name has %d characters", n)
	}
}
