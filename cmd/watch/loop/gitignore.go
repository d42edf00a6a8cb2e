package loop

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/orlop/orlop/spec/userfile"
)

// gitIgnore is what the .gitignore files of a working tree leave out, as git
// reads them: those of deeper directories come before those above, later lines
// before earlier ones, and below a directory that is left out nothing can be
// taken back.
type gitIgnore struct {
	top  string
	more []string                // files that count for all of the tree, the weaker first
	read map[string][]gitPattern // by directory, as they are needed
	left map[string]bool         // directories: decided already
}

// gitPattern is a line of a .gitignore.
type gitPattern struct {
	match     *regexp.Regexp // of a path from the file's directory
	back      bool           // "!": takes back
	directory bool           // is about directories only
}

const gitIgnoreName = ".gitignore"

// newGitIgnore is that of the working tree that a directory lies in. Where
// there is none, the nearest .gitignore above stands for its top. Excludes
// gives the files that git reads beside those of the tree.
func newGitIgnore(dir string, excludes func(top string) []string) *gitIgnore {
	nearest := dir
	found := false
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, gitIgnoreName)); err == nil && !found {
			nearest, found = at, true
		}
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			nearest = at
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	g := &gitIgnore{top: nearest, read: map[string][]gitPattern{}, left: map[string]bool{}}
	if excludes != nil {
		g.more = excludes(nearest)
	}
	return g
}

// above are the files that decide for a directory from above it.
func (g *gitIgnore) above(dir string) []string {
	var files []string
	for at := dir; at != g.top && at != filepath.Dir(at); {
		at = filepath.Dir(at)
		files = append(files, filepath.Join(at, gitIgnoreName))
	}
	return append(files, g.more...)
}

// skips says that a directory is left out, with all that is below it.
func (g *gitIgnore) skips(dir string) bool {
	if g == nil {
		return false
	}
	if _, inside := within(g.top, dir); !inside || dir == g.top {
		return false
	}
	left, known := g.left[dir]
	if !known {
		left = g.skips(filepath.Dir(dir)) || g.decide(dir, func() bool { return true })
		g.left[dir] = left
	}
	return left
}

// match says that a file is left out.
func (g *gitIgnore) match(file string) bool {
	if g == nil || file == g.top {
		return false
	}
	if _, inside := within(g.top, file); !inside {
		return false
	}
	return g.skips(filepath.Dir(file)) || g.decide(file, func() bool {
		info, err := os.Lstat(file)
		return err == nil && info.IsDir()
	})
}

// decide asks the files from the nearest directory up to the top.
func (g *gitIgnore) decide(file string, isDirectory func() bool) bool {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		rel, _ := within(dir, file)
		list := g.patterns(dir)
		for i := len(list) - 1; i >= 0; i-- {
			if p := list[i]; p.match.MatchString(rel) && (!p.directory || isDirectory()) {
				return !p.back
			}
		}
		if dir == g.top || dir == filepath.Dir(dir) {
			return false
		}
	}
}

func (g *gitIgnore) patterns(dir string) []gitPattern {
	list, known := g.read[dir]
	if !known {
		if dir == g.top { // the tree's own come after them
			for _, file := range g.more {
				text, _ := userfile.Read(file)
				list = append(list, gitPatterns(string(text))...)
			}
		}
		file := filepath.Join(dir, gitIgnoreName)
		if info, err := os.Lstat(file); err == nil && info.Mode()&fs.ModeSymlink == 0 { // git follows no link there
			text, _ := userfile.Read(file)
			list = append(list, gitPatterns(string(text))...)
		}
		g.read[dir] = list
	}
	return list
}

func gitPatterns(text string) []gitPattern {
	var list []gitPattern
	for line := range strings.Lines(text) {
		if p, ok := parseGitPattern(strings.TrimRight(line, "\r\n")); ok {
			list = append(list, p)
		}
	}
	return list
}

func parseGitPattern(line string) (p gitPattern, ok bool) {
	for strings.HasSuffix(line, " ") && !strings.HasSuffix(line, `\ `) {
		line = line[:len(line)-1]
	}
	if line == "" || line[0] == '#' {
		return p, false
	}
	line, p.back = strings.CutPrefix(line, "!")
	line, p.directory = strings.CutSuffix(line, "/")
	anchored := strings.Contains(line, "/")
	line = strings.TrimPrefix(line, "/")
	if line == "" {
		return p, false
	}
	text := globExpression(line)
	if !anchored {
		text = "(?:.*/)?" + text
	}
	var err error
	p.match, err = regexp.Compile("^(?s:" + text + ")$")
	return p, err == nil // one that git would not match either
}

// globExpression is a pattern of a .gitignore as a regular expression.
func globExpression(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); {
		rest := glob[i:]
		start := i == 0 || glob[i-1] == '/'
		switch {
		case start && strings.HasPrefix(rest, "**/"):
			b.WriteString("(?:.*/)?")
			i += 3
		case start && rest == "**":
			b.WriteString(".+")
			i += 2
		case rest[0] == '*':
			b.WriteString("[^/]*")
			i += len(rest) - len(strings.TrimLeft(rest, "*"))
		case rest[0] == '?':
			b.WriteString("[^/]")
			i++
		case rest[0] == '[':
			class, n := classExpression(rest)
			b.WriteString(class)
			i += n
		case rest[0] == '\\' && len(rest) > 1:
			b.WriteString(regexp.QuoteMeta(rest[1:2]))
			i += 2
		default:
			b.WriteString(regexp.QuoteMeta(rest[:1]))
			i++
		}
	}
	return b.String()
}

// classExpression is a class of characters, and its length in the pattern.
func classExpression(text string) (class string, n int) {
	end := strings.IndexByte(text[1:], ']') + 1
	if strings.HasPrefix(text, "[]") || strings.HasPrefix(text, "[!]") || strings.HasPrefix(text, "[^]") {
		skip := strings.IndexByte(text, ']') + 1
		end = strings.IndexByte(text[skip:], ']') + skip
		if end < skip {
			end = 0
		}
	}
	if end <= 0 {
		return "[^\\s\\S]", len(text) // a class without an end matches nothing
	}
	inside := text[1:end]
	not := ""
	if inside[0] == '!' || inside[0] == '^' {
		not, inside = "^/", inside[1:]
	}
	inside = strings.NewReplacer(`[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`).Replace(inside)
	return "[" + not + inside + "]", end + 1
}
