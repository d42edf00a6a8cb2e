package builder

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestWhatIsFoundInADockerfile(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		cause  string // "": nothing is wrong
		lines  []string
	}{
		"nothing": {`{"warnings":[],"sources":[]}`, "", nil},
		"warnings": {
			`{"warnings":[{"ruleName":"StageNameCasing","detail":"so","url":"https://x","location":{"ranges":[{"start":{"line":3}}]}},{"ruleName":"B","detail":"all"}]}`,
			"2 warnings of the Dockerfile", []string{"D:3: StageNameCasing: so (https://x)", "D: B: all"},
		},
		"a mistake": {`{"buildError":{"message":"unknown instruction: RAN"}}`, "unknown instruction: RAN", nil},
	} {
		var f findings
		if err := json.Unmarshal([]byte(c.answer), &f); err != nil {
			t.Fatal(err)
		}
		err := f.failure("D")
		failed, ok := errors.AsType[*Failure](err)
		if ok != (c.cause != "") || ok && (failed.Error() != c.cause || !slices.Equal(failed.Lines(), c.lines)) {
			t.Errorf("%s: %v, %+v", name, err, failed)
		}
	}
}
