package loop

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// scope is what of the file system the rules are about.
type scope struct{ rules []*Rule }

func (s scope) holds(file string) bool {
	return slices.ContainsFunc(s.rules, func(r *Rule) bool { return r.Holds(file) })
}

func (s scope) enters(dir string) bool {
	return slices.ContainsFunc(s.rules, func(r *Rule) bool { return r.Enters(dir) })
}

// roots are the rules' paths without those that lie in another one.
func (s scope) roots() []string {
	var all []string
	for _, r := range s.rules {
		all = append(all, r.root)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// folder is what is known of a directory: what it holds that a rule is about.
type folder struct {
	files   map[string]identity
	folders map[string]bool
}

// notifier is what the tree needs of a source of events: fsnotify.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
}

// tree is what is known of the watched files: their contents' identities. It
// watches only the directories that a rule can match something in.
type tree struct {
	scope   scope
	notify  notifier
	folders map[string]*folder
	watched map[string]bool
	blind   map[string]bool // directories that could not be watched
	limit   error           // why; said once
	fresh   func(file string) bool
	since   time.Time // by FileClock: what was written from then on is no longer what was taken; zero: none
	began   time.Time
	// surveyed says that what is there is known: what comes now is new.
	surveyed bool
	// rewritten are the files that were written with the content that they had
	// from the beginning on, since this was looked at.
	rewritten []string
}

func newTree(s scope, n notifier) *tree {
	return &tree{scope: s, notify: n, folders: map[string]*folder{}, watched: map[string]bool{}, blind: map[string]bool{}, began: time.Now()}
}

// origin is what was at a path before what is there now, or what is there if it
// is that still.
func (t *tree) origin(file string) origin {
	f := t.folders[filepath.Dir(file)]
	if f == nil {
		return origin{}
	}
	is, ok := f.files[filepath.Base(file)]
	switch {
	case !ok:
		return origin{}
	case is.from != nil:
		return *is.from
	}
	return is.origin(t.began)
}

// watch asks for the events of a directory. Where the kernel gives no more,
// the directory is looked at again and again instead.
func (t *tree) watch(dir string) {
	err := t.notify.Add(dir)
	switch {
	case err == nil:
		t.watched[dir] = true
		delete(t.blind, dir)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		delete(t.watched, dir)
	default:
		t.blind[dir] = true
		if t.limit == nil {
			t.limit = limitError(dir, err)
		}
	}
}

// limitError says what to do when a limit of inotify is reached.
func limitError(dir string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("inotify watch limit reached: run %s; until then the rest is checked every few seconds",
			sysctl("fs.inotify.max_user_watches", 1_048_576))
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("inotify instance limit reached: run %s and restart the watch; "+
			"until then the files are checked every few seconds", sysctl("fs.inotify.max_user_instances", 1024))
	}
	return fmt.Errorf("cannot watch %s: %w; it is checked every few seconds", dir, err)
}

// sysctl is the command that raises a limit of the kernel: to twice what it
// is, and at least to what is enough for most.
func sysctl(name string, least int) string {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if now, nerr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && nerr == nil {
		least = max(least, 2*now)
	}
	return fmt.Sprintf("\"sysctl %s=%d\"", name, least)
}

// survey looks at everything that the rules are about and gives what differs
// from what was known.
func (t *tree) survey() []string {
	d := &difference{tree: t}
	for _, root := range t.scope.roots() {
		t.watchAbove(root)
		d.look(root)
	}
	defer func() { t.surveyed = true }()
	return d.end()
}

// watchAbove watches the directory that holds a root, or the nearest one
// above it that exists: the root may come, go and come again.
func (t *tree) watchAbove(root string) {
	below := ""
	for dir := filepath.Dir(root); ; {
		t.watch(dir)
		switch {
		case !t.watched[dir] && !t.blind[dir] && dir != filepath.Dir(dir):
			below, dir = dir, filepath.Dir(dir)
			continue
		case below != "" && isDirectory(below): // it came before its parent was watched
			dir, below = below, ""
			continue
		}
		return
	}
}

// resolve looks at the paths that something happened to, whether they were
// written or not, and gives those whose content, mode or presence has changed.
func (t *tree) resolve(paths map[string]bool) []string {
	d := &difference{tree: t, written: paths}
	for _, file := range slices.Sorted(maps.Keys(paths)) {
		if t.scope.enters(file) || t.scope.holds(file) {
			d.look(file)
			continue
		}
		for _, root := range t.scope.roots() { // a directory above a root has come or gone
			if _, above := within(file, root); above {
				t.watchAbove(root)
				d.look(root)
			}
		}
	}
	return d.end()
}

// lookAgain compares the directories that could not be watched.
func (t *tree) lookAgain() []string {
	d := &difference{tree: t}
	for _, dir := range slices.Sorted(maps.Keys(t.blind)) {
		d.look(dir)
	}
	return d.end()
}

// begin takes everything as it is, and gives what was written since the stack was read.
func (t *tree) begin(since time.Time) []string {
	t.fresh, t.since = func(string) bool { return false }, since
	defer func() { t.fresh, t.since = nil, time.Time{} }()
	return t.survey()
}

// rescope takes new rules. What they are newly about is taken as it is, unless it was
// written since a time; or counts as changed, where they are the old ones that a file
// reads otherwise now: for those the time is zero.
func (t *tree) rescope(s scope, since time.Time) []string {
	old := t.scope
	t.scope = s
	if !since.IsZero() {
		t.fresh, t.since = old.holds, since
	}
	defer func() { t.fresh, t.since = nil, time.Time{} }()
	roots := s.roots()
	isAbove := func(dir string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { _, above := within(dir, root); return above })
	}
	for dir := range t.watched {
		if !s.enters(dir) && !isAbove(dir) {
			_ = t.notify.Remove(dir)
			delete(t.watched, dir)
		}
	}
	for dir, f := range t.folders {
		if !s.enters(dir) && !isAbove(dir) {
			delete(t.folders, dir)
			continue
		}
		for name := range f.files {
			if !s.holds(filepath.Join(dir, name)) {
				delete(f.files, name)
			}
		}
	}
	return t.survey()
}

// files calls yield with each known path that is held, directories first.
func (t *tree) files(below string, yield func(file string)) {
	f := t.folders[below]
	if f == nil {
		up := t.folders[filepath.Dir(below)]
		if up != nil {
			if _, ok := up.files[filepath.Base(below)]; ok {
				yield(below)
			}
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		yield(filepath.Join(below, name))
	}
	for _, name := range slices.Sorted(maps.Keys(f.folders)) {
		t.files(filepath.Join(below, name), yield)
	}
}

// difference is one comparison of a part of the tree with the disk.
type difference struct {
	tree    *tree
	changed []string
	pending []pendingFile
	seen    map[string]bool
	was     map[string]identity // files where directories are now
	written map[string]bool
	moved   int      // how many of the directories that are being looked into were moved to where they are meanwhile
	entered []string // directories whose events were asked for
	left    bool     // directories whose events were asked for are gone
}

// pendingFile is a file whose content is to be compared.
type pendingFile struct {
	path string
	info fs.FileInfo
	was  identity
	had  bool
	came bool // with a directory, meanwhile
}

// look compares a path, and what is below it, with what is known.
func (d *difference) look(file string) {
	if d.seen[file] {
		return
	}
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	d.seen[file] = true
	info, err := os.Lstat(file)
	if err != nil {
		d.gone(file)
		return
	}
	if info.IsDir() {
		d.notFile(file)
		d.directory(file, info)
		return
	}
	if d.tree.folders[file] != nil {
		d.goneBelow(file)
	}
	d.file(file, info)
}

// file notes a file whose content is to be compared.
func (d *difference) file(file string, info fs.FileInfo) {
	if !d.tree.scope.holds(file) || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice|fs.ModeCharDevice) != 0 {
		return
	}
	up := d.tree.folders[filepath.Dir(file)]
	p := pendingFile{path: file, info: info, came: d.moved > 0}
	if up != nil {
		p.was, p.had = up.files[filepath.Base(file)]
	}
	d.pending = append(d.pending, p)
}

// notFile drops what is known of a file where a directory is now.
func (d *difference) notFile(file string) {
	if up := d.tree.folders[filepath.Dir(file)]; up != nil {
		if was, ok := up.files[filepath.Base(file)]; ok && !was.directory {
			delete(up.files, filepath.Base(file))
			d.changed = append(d.changed, file)
			if d.was == nil {
				d.was = map[string]identity{}
			}
			d.was[file] = was
		}
	}
}

func (d *difference) directory(dir string, info fs.FileInfo) {
	t := d.tree
	if !t.scope.enters(dir) {
		return
	}
	if isMovedSince(info, t.since) {
		d.moved++
		defer func() { d.moved-- }()
	}
	t.watch(dir) // before it is read: what comes later makes an event
	entries, err := os.ReadDir(dir)
	if err != nil {
		d.gone(dir)
		return
	}
	f := t.folders[dir]
	if f == nil {
		f = &folder{files: map[string]identity{}, folders: map[string]bool{}}
		t.folders[dir] = f
	}
	d.entered = append(d.entered, dir)
	if up := t.folders[filepath.Dir(dir)]; up != nil && t.scope.enters(filepath.Dir(dir)) {
		up.folders[filepath.Base(dir)] = true
		if _, known := up.files[filepath.Base(dir)]; !known && t.scope.holds(dir) {
			d.file(dir, info)
		}
	}
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		present[e.Name()] = true
		file := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if t.scope.enters(file) {
				d.look(file)
			}
			continue
		}
		if info, err := e.Info(); err == nil {
			if f.folders[e.Name()] {
				d.goneBelow(file)
			}
			d.seen[file] = true
			d.file(file, info)
		}
	}
	d.missing(dir, f, present)
}

// missing reports what a directory held and holds no more.
func (d *difference) missing(dir string, f *folder, present map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(f.folders)) {
		if !present[name] {
			d.gone(filepath.Join(dir, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		if !present[name] {
			d.gone(filepath.Join(dir, name))
		}
	}
}

// gone reports a path and all that was known below it as removed.
func (d *difference) gone(file string) {
	d.goneBelow(file)
	up := d.tree.folders[filepath.Dir(file)]
	if up == nil {
		return
	}
	if _, ok := up.files[filepath.Base(file)]; ok {
		delete(up.files, filepath.Base(file))
		d.changed = append(d.changed, file)
	}
}

func (d *difference) goneBelow(dir string) {
	t := d.tree
	if f := t.folders[dir]; f != nil {
		for _, name := range slices.Sorted(maps.Keys(f.folders)) {
			d.goneBelow(filepath.Join(dir, name))
		}
		for _, name := range slices.Sorted(maps.Keys(f.files)) {
			d.changed = append(d.changed, filepath.Join(dir, name))
		}
		delete(t.folders, dir)
	}
	if t.watched[dir] {
		_ = t.notify.Remove(dir)
		delete(t.watched, dir)
		d.left = true
	}
	delete(t.blind, dir)
	if up := t.folders[filepath.Dir(dir)]; up != nil {
		delete(up.folders, filepath.Base(dir))
	}
}

// end compares the contents of the files that were met and gives all that has
// changed, in order.
func (d *difference) end() []string {
	t := d.tree
	if d.left { // the kernel takes a directory that was moved for the one that is gone
		for _, dir := range d.entered {
			t.watch(dir)
		}
	}
	now := identify(d.pending, time.Now())
	for i, p := range d.pending {
		dir, name := filepath.Split(p.path)
		dir = filepath.Clean(dir)
		if now[i].missing {
			continue // gone meanwhile: an event says so
		}
		f := t.folders[dir]
		if f == nil { // of a rule that names one file
			f = &folder{files: map[string]identity{}, folders: map[string]bool{}}
			t.folders[dir] = f
		}
		was, had := f.files[name]
		if !had {
			was = d.was[p.path]
		}
		now[i].from = was.from
		switch {
		case had && was.equal(now[i]):
			if d.written[p.path] && !was.directory && was.seen.differs(now[i].seen) {
				t.rewritten = append(t.rewritten, p.path)
			}
		case had || t.fresh == nil || t.fresh(p.path) || p.came || isWrittenSince(p.info, t.since):
			d.changed = append(d.changed, p.path)
			if was.from == nil && (t.surveyed || !t.since.IsZero()) {
				from := was.origin(t.began)
				now[i].from = &from
			}
		}
		f.files[name] = now[i]
	}
	slices.Sort(d.changed)
	return slices.Compact(d.changed)
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
