package builder

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
)

// absentPath is what BuildKit says of a path that an instruction names and
// that is not where it is looked for.
const absentPath = `failed to calculate checksum of ref \S+: "(/.*)": not found$`

// ignoredCopy is what it says beforehand of one that .dockerignore leaves out.
const ignoredCopy = `^CopyIgnoredFile: .* file "(.*)" that is excluded by \.dockerignore`

// missing says that a file which the instruction needs isn't there, and where
// it was looked for; "" where the cause is another. ignored are the paths of
// the context that .dockerignore leaves out although instructions name them.
func missing(cause, instruction string, req Request, ignored []string) string {
	m := regexp.MustCompile(absentPath).FindStringSubmatch(cause)
	if m == nil {
		return ""
	}
	file := strings.TrimPrefix(m[1], "/")
	if from := sourceOf(instruction, file); from != "" {
		if dir := req.Build.AdditionalContexts[from]; dir != "" {
			return fmt.Sprintf("no file %s in the context %s (%s)", file, from, dir)
		}
		return fmt.Sprintf("no file /%s in the stage or image %s", file, from)
	}
	for _, name := range ignored {
		if clean := strings.TrimPrefix(path.Clean(name), "/"); clean == file {
			return fmt.Sprintf("no file %s in the build context %s: its .dockerignore leaves it out", file, req.Build.Context)
		}
	}
	text := fmt.Sprintf("no file %s in the build context %s", file, req.Build.Context)
	if strings.Contains(instruction, "../"+file) {
		text += ": paths in a Dockerfile don't lead out of the context"
	}
	return text
}

// sourceOf is the stage, image or context that an instruction takes a file
// from; "" is the build context.
func sourceOf(instruction, file string) string {
	if m := regexp.MustCompile(`(?i)^\s*(?:COPY|ADD)\s.*--from=(\S+)`).FindStringSubmatch(instruction); m != nil {
		return m[1]
	}
	for _, m := range regexp.MustCompile(`--mount=(\S+)`).FindAllStringSubmatch(instruction, -1) {
		from, source := "", ""
		for option := range strings.SplitSeq(m[1], ",") {
			switch key, value, _ := strings.Cut(option, "="); key {
			case "from":
				from = value
			case "source", "src":
				source = strings.TrimPrefix(path.Clean(value), "/")
			}
		}
		if source == file {
			return from
		}
	}
	return ""
}

// instructionOf is the instruction of the Dockerfile that a mistake is in, in
// one line.
func instructionOf(sources []*errdefs.Source) string {
	for _, src := range sources {
		if src == nil || src.Info == nil || len(src.Ranges) == 0 {
			continue
		}
		lines := strings.Split(string(src.Info.Data), "\n")
		from, to := int(src.Ranges[0].Start.Line), int(src.Ranges[0].End.Line)
		if from >= 1 && from <= to && to <= len(lines) {
			return strings.ReplaceAll(strings.Join(lines[from-1:to], " "), `\ `, " ")
		}
	}
	return ""
}
