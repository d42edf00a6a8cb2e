package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/orlop/orlop/spec/userfile"
)

// patterns are patterns in the form of .dockerignore, from a directory. A nil
// one matches nothing.
type patterns struct {
	matcher *patternmatcher.PatternMatcher
	words   [][]string // the patterns' parts
	again   [][]string // those of patterns that start with "!"
}

func newPatterns(list []string) (*patterns, error) {
	if len(list) == 0 {
		return nil, nil
	}
	matcher, err := patternmatcher.New(list)
	if err != nil {
		return nil, fmt.Errorf("cannot read the patterns %s: %w", strings.Join(list, ", "), err)
	}
	p := &patterns{matcher: matcher}
	for _, one := range matcher.Patterns() {
		parts := strings.Split(strings.TrimPrefix(filepath.ToSlash(one.String()), "/"), "/")
		if one.Exclusion() {
			p.again = append(p.again, parts)
		} else {
			p.words = append(p.words, parts)
		}
	}
	return p, nil
}

// readPatterns reads the first of the files that exists; none is nil.
func readPatterns(files ...string) (*patterns, error) {
	for _, file := range files {
		text, err := userfile.Read(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var list []string
		if err == nil {
			list, err = ignorefile.ReadAll(bytes.NewReader(text))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", file, err)
		}
		return newPatterns(list)
	}
	return nil, nil
}

// match says whether a path, or a directory above it, is matched.
func (p *patterns) match(rel string) bool {
	if p == nil || rel == "." {
		return false
	}
	ok, err := p.matcher.MatchesOrParentMatches(rel)
	return ok && err == nil
}

// skips says that a directory is matched with all that can be below it: no
// pattern that starts with "!" reaches inside.
func (p *patterns) skips(dir string) bool {
	return p.match(dir) && !reach(p.again, dir)
}

// reaches says that something below a directory may be matched.
func (p *patterns) reaches(dir string) bool {
	return dir == "." || p.match(dir) || reach(p.words, dir)
}

// reach says that one of the patterns may match something below a directory.
func reach(list [][]string, dir string) bool {
	parts := strings.Split(dir, "/")
	for _, pattern := range list {
		if reachOne(pattern, parts) {
			return true
		}
	}
	return false
}

func reachOne(pattern, dir []string) bool {
	for i, part := range dir {
		if i >= len(pattern) || strings.Contains(pattern[i], "**") {
			return true
		}
		if ok, err := path.Match(pattern[i], part); err == nil && !ok {
			return false
		}
	}
	return true
}

// isTemporary says that a name is one that editors and version control make
// for themselves.
func isTemporary(name string) bool {
	switch name {
	case "4913", ".DS_Store", ".idea":
		return true
	}
	for _, pattern := range []string{
		"*~", ".*.sw?", ".*.swpx", ".#*", "#*#", "*___jb_tmp___", "*___jb_old___", ".*.kate-swp", ".goutputstream-*", ".~lock.*#",
	} {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
