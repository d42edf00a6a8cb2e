package terminal

import (
	"fmt"
	"strings"
)

// DefaultDetachKeys let go of a process on a terminal, as Docker's do.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// parseKeys reads keys as Docker writes them: a character, or ctrl- and one,
// with commas between them.
func parseKeys(text string) ([]byte, error) {
	var keys []byte
	if text == "" {
		return nil, nil
	}
	for _, word := range strings.Split(text, ",") {
		key, ctrl := strings.CutPrefix(strings.ToLower(word), "ctrl-")
		switch {
		case len(word) == 1:
			keys = append(keys, word[0])
		case word == "DEL":
			keys = append(keys, 0x7f)
		case ctrl && len(key) == 1 && key[0] >= '@' && key[0] <= 'z' && key[0] != '`':
			keys = append(keys, key[0]&0x1f)
		default:
			return nil, fmt.Errorf("--detach-keys is %q: %q is not a key: write a character, or ctrl- and a letter, with commas between them", text, word)
		}
	}
	return keys, nil
}

// detacher looks for the detach keys in what is typed.
type detacher struct {
	keys []byte
	held int // how many of the keys were typed, and kept back
}

// pass gives what of the input goes on to the process, and whether the keys
// were typed whole.
func (d *detacher) pass(in []byte) (out []byte, detached bool) {
	if len(d.keys) == 0 {
		return in, false
	}
	for _, b := range in {
		if b != d.keys[d.held] {
			out = append(out, d.keys[:d.held]...)
			if d.held = 0; b != d.keys[0] {
				out = append(out, b)
				continue
			}
		}
		if d.held++; d.held == len(d.keys) {
			return out, true
		}
	}
	return out, false
}
