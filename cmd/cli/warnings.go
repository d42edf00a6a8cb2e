package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// Warn tells what is wrong with a stack file beyond what its load has found. all says how each place is shown.
func (inv *Invocation) Warn(warnings spec.Diagnostics, all string) { inv.warn(warnings, all) }

// allPlaces shows each place of what a load warns of.
const allPlaces = "orlop config --verbose"

// warn tells what is wrong with a stack file and does not stop us: one line a
// key or variable, and once for the same content, unless it is asked for.
func (inv *Invocation) warn(warnings spec.Diagnostics, all string) {
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
		fmt.Fprintln(inv.Stderr, st.Dim("   all places: "+all))
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

// saidBefore says whether the user was told the same of the same place before.
// What cannot be remembered is said again.
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

// toldOnce is what a command has told its user that is told once.
type toldOnce struct {
	mu      sync.Mutex
	digests []string // guarded by mu; of texts that no command before has told
}

// add adds a text's, and says whether it was there.
func (t *toldOnce) add(digest string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.digests, digest) {
		return true
	}
	t.digests = append(t.digests, digest)
	return false
}

// toldBefore says whether the user was told a text before: by this command, or by one
// that has succeeded.
func (inv *Invocation) toldBefore(text string) bool {
	path := inv.warnedFile()
	if path == "" {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	digest := hex.EncodeToString(sum[:16])
	data, _ := userfile.Read(path)
	return slices.Contains(strings.Fields(string(data)), digest) || inv.told.add(digest)
}

// RememberTold notes what the command has told once it has succeeded. What one that failed
// has warned of may be why, and is told again by the next try.
func (inv *Invocation) RememberTold() {
	inv.told.mu.Lock()
	defer inv.told.mu.Unlock()
	path := inv.warnedFile()
	if path == "" || len(inv.told.digests) == 0 || inv.DryRun {
		return
	}
	data, _ := userfile.Read(path)
	known := append(strings.Fields(string(data)), inv.told.digests...)
	known = known[max(0, len(known)-maxWarned):]
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return
	}
	// Another command may write in the same moment: then one of both is said again.
	temporary := path + "." + inv.told.digests[0]
	if os.WriteFile(temporary, []byte(strings.Join(known, "\n")+"\n"), 0o600) != nil || os.Rename(temporary, path) != nil {
		_ = os.Remove(temporary)
	}
	inv.told.digests = nil
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
