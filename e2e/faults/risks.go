package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// risk is one way in which a stack, an image or a registry may harm the host.
type risk struct{ name, about string }

// risks are the rows of docs/risks.md, by the name that a test's comment has.
func risks() []risk {
	return []risk{
		{"image labels", "labels of an image steer the host"},
		{"image content", "what an image says (USER, VOLUME, ENV, WORKDIR, /etc/passwd) decides on the host"},
		{"runc rootfs races", "a container reaches what of /proc, /sys and /dev is the host's"},
		{"seccomp", "a container makes system calls that it has no need of"},
		{"buildkit escape", "a build runs code of others on the host, or with more rights than a step"},
		{"include traversal", "an include, an extends or a name in a file leads out of where it may"},
		{"remote include", "somebody else's stack is run without a look at what it asks for"},
		{"path escape", "a mount, an env_file or a config leads to the host's files"},
		{"yaml bombs", "a small file becomes a large one when it is read"},
		{"legal input", "legal input takes all time or memory"},
		{"files that are none", "a pipe or a device stands where a file is read"},
		{"variables", "a variable without a value mounts or runs something else"},
		{"secrets", "a secret is found where it does not belong"},
		{"environment", "the environment of a caller or of a container stays behind"},
		{"registry auth leak", "credentials of a registry are sent to somebody else"},
		{"archives", "an archive of images leads out, or takes all time"},
		{"unpack traversal", "a layer writes outside of its root file system"},
		{"engine socket", "a container or another user reaches the engine"},
		{"published ports", "a port is reached by whom it is not for"},
		{"stack isolation", "one stack reaches another, or an internal network the outside"},
		{"supply chain", "what runs is not what was asked for"},
		{"privileged flags", "a stack asks for what makes it root on the host"},
		{"upgrades", "a component with a known hole is linked"},
	}
}

// holding is what a test holds of a risk.
type holding struct {
	risk, what, held string
	test, place      string
}

var riskOpening = regexp.MustCompile(`^Risk ([a-z ]+): (.+)$`)

// readRisks reads the comments about risks of one test file.
func readRisks(path, text string) ([]holding, error) {
	mark, test := "//", ""
	if strings.HasSuffix(path, ".txtar") {
		mark, test = "#", scriptName(path)
	}
	var all []holding
	begun := 0 // those of all that wait for their test's name
	var field *string
	line := 0
	for s := range strings.Lines(text) {
		line++
		comment, is := strings.CutPrefix(strings.TrimRight(s, "\n"), mark)
		if !is {
			field = nil
			if m := function.FindStringSubmatch(s); m != nil {
				for ; begun < len(all); begun++ {
					all[begun].test = "`" + m[1] + "` in " + path
				}
			}
			continue
		}
		body := strings.TrimSpace(comment)
		if m := riskOpening.FindStringSubmatch(body); m != nil {
			all = append(all, holding{risk: m[1], what: m[2], test: test, place: fmt.Sprintf("%s:%d", path, line)})
			field = &all[len(all)-1].what
		} else if held, ok := strings.CutPrefix(body, "Held: "); ok && begun < len(all) {
			all[len(all)-1].held, field = held, &all[len(all)-1].held
		} else if begun < len(all) {
			var err error
			if field, err = goOn(field, mark, comment); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, line, err)
			}
		}
	}
	for _, h := range all {
		if h.held == "" || h.test == "" {
			return nil, fmt.Errorf("%s: risk %q needs a line that begins with \"Held: \", and a test", h.place, h.risk)
		}
	}
	return all, nil
}

// collectRisks reads the tests of the repository at root.
func collectRisks(root string) ([]holding, error) {
	var all []holding
	err := eachTest(root, func(rel, text string) error {
		found, err := readRisks(rel, text)
		all = append(all, found...)
		return err
	})
	return all, err
}

// renderRisks makes docs/risks.md.
func renderRisks(found []holding) (string, error) {
	var b strings.Builder
	b.WriteString("# Risks\n\n<!-- Written by `go run ./e2e/faults` from the comments of the tests. Don't edit. -->\n\n" +
		"How a stack, an image, a registry or a neighbour could harm the host, and the tests that hold what is done about it. What is\n" +
		"promised as a whole, and what is not, is in [security.md](security.md).\n\n| Risk | What is tried | What holds | Test |\n|---|---|---|---|\n")
	known, untested := map[string]bool{}, []string{}
	for _, r := range risks() {
		known[r.name] = true
		n := 0
		for _, h := range found {
			if h.risk == r.name {
				n++
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(r.about), cell(h.what), cell(h.held), h.test)
			}
		}
		if n == 0 {
			untested = append(untested, r.about)
		}
	}
	for _, h := range found {
		if !known[h.risk] {
			return "", fmt.Errorf("%s: there is no risk called %q", h.place, h.risk)
		}
	}
	if len(untested) > 0 {
		b.WriteString("\nNo test of its own yet:\n\n")
		for _, about := range untested {
			b.WriteString("- " + about + "\n")
		}
	}
	return b.String(), nil
}

// eachTest calls f with each test file of the repository at root, in order.
func eachTest(root string, f func(rel, text string) error) error {
	var paths []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "node_modules") {
			return filepath.SkipDir
		}
		if !d.IsDir() && (strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".txtar")) {
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if err := f(filepath.ToSlash(rel), string(text)); err != nil {
			return err
		}
	}
	return nil
}
