package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// warn tells what is wrong with a stack file and does not stop us: one line a
// key or variable, and once for the same content, unless it is asked for.
func (inv *Invocation) warn(warnings spec.Diagnostics) {
	if len(warnings) == 0 || inv.IsSilent() {
		return
	}
	if inv.Verbose {
		_ = warnings.Render(inv.Stderr, inv.ErrStyle().Color)
		return
	}
	if said := inv.saidBefore(warnings); said && !inv.Strict {
		return
	}
	inv.Workflow().Diagnostics(warnings)
	st := inv.ErrStyle()
	lines := warnings.Brief()
	for _, line := range lines {
		fmt.Fprintln(inv.Stderr, st.Yellow(" ! ")+display.Printable(line))
	}
	if len(lines) < len(warnings) {
		fmt.Fprintln(inv.Stderr, st.Dim("   all places: orlop config --verbose"))
	}
}

// note tells what has no effect here, a quiet line a key, to who asks for all.
func (inv *Invocation) note(notes spec.Diagnostics) {
	if !inv.Verbose || inv.IsSilent() {
		return
	}
	for _, line := range notes.Brief() {
		fmt.Fprintln(inv.Stderr, inv.ErrStyle().Dim(" · "+display.Printable(line)))
	}
}

// maxWarned is how many contents are remembered.
const maxWarned = 500

// saidBefore says whether the user was told the same of the same place before,
// and remembers that he is told now. What cannot be remembered is said again.
func (inv *Invocation) saidBefore(warnings spec.Diagnostics) bool {
	var text strings.Builder
	fmt.Fprintln(&text, inv.WorkingDir())
	for _, w := range warnings {
		fmt.Fprintln(&text, w)
	}
	return inv.toldBefore(text.String())
}

// warnOfEngine tells what befell the engine, such as a damaged file, once to
// each user.
func (inv *Invocation) warnOfEngine(warnings []string) {
	if inv.IsSilent() {
		return
	}
	for _, text := range warnings {
		if !inv.toldBefore(inv.StateDir() + "\n" + text) {
			fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(" ! ")+text)
		}
	}
}

// toldBefore says whether the user was told a text before, and remembers it.
func (inv *Invocation) toldBefore(text string) bool {
	path := inv.warnedFile()
	if path == "" {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	digest := hex.EncodeToString(sum[:16])
	data, _ := userfile.Read(path)
	known := strings.Fields(string(data))
	if slices.Contains(known, digest) {
		return true
	}
	known = append(known[max(0, len(known)-maxWarned+1):], digest)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false
	}
	// Another command may write in the same moment: then one of both is said again.
	temporary := path + "." + digest
	if os.WriteFile(temporary, []byte(strings.Join(known, "\n")+"\n"), 0o600) != nil || os.Rename(temporary, path) != nil {
		_ = os.Remove(temporary)
	}
	return false
}

// warnedFile is where it is kept what the user was told; "" if nowhere.
func (inv *Invocation) warnedFile() string {
	cache := inv.cacheDir()
	if cache == "" {
		return ""
	}
	return filepath.Join(cache, "warned")
}

// cacheDir is the user's directory for what may be lost; "" if there is none.
func (s *Settings) cacheDir() string {
	cache := s.Env["XDG_CACHE_HOME"]
	if home := s.Env["HOME"]; !filepath.IsAbs(cache) && filepath.IsAbs(home) {
		cache = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(cache) {
		return ""
	}
	return filepath.Join(cache, "orlop")
}
