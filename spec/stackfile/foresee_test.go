package stackfile

import (
	"context"
	"strings"
	"testing"
)

func TestAPortThatIsWantedTwiceIsToldByConfig(t *testing.T) {
	text := "services:\n  a:\n    image: a\n    ports: [\"8080:80\"]\n  b:\n    image: b\n    ports: [\"8080:81\"]\n  off:\n    image: b\n    profiles: [off]\n    ports: [\"8080:82\"]\n"
	for _, foresee := range []bool{false, true} {
		_, diagnostics, err := Load(context.Background(), Options{Files: []string{"-"}, Stdin: strings.NewReader(text), Name: "shop", Foresee: foresee})
		if err != nil || foresee && len(diagnostics) != 1 || !foresee && len(diagnostics) > 0 {
			t.Fatalf("%v %v", diagnostics, err)
		}
		if foresee && (diagnostics[0].Message != "port 8080/tcp of this machine is taken: service a publishes it (<stdin>:4:13); publish another one here" || diagnostics[0].Place.Line != 7) {
			t.Errorf("got %+v", diagnostics[0])
		}
	}
}
