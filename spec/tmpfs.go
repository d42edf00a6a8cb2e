package spec

import (
	"fmt"
	"regexp"
	"strings"
)

// Forms of the numbers that the kernel takes as options of a tmpfs.
var (
	tmpfsSize   = regexp.MustCompile(`^([0-9]+[kKmMgGtTpPeE]?|[0-9]+%)$`)
	tmpfsCount  = regexp.MustCompile(`^[0-9]+[kKmMgGtTpPeE]?$`)
	tmpfsNumber = regexp.MustCompile(`^[0-9]+$`)
	tmpfsMode   = regexp.MustCompile(`^[0-7]{1,5}$`)
)

// tmpfsOptions checks the numbers of a short form: size=64m,mode=1777. The
// kernel refuses a wrong one without a word.
func (v *validator) tmpfsOptions(item *node, options, at string) {
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		form, example := tmpfsNumber, "1000"
		switch name {
		case "size":
			form, example = tmpfsSize, "64m or 50%"
		case "nr_blocks", "nr_inodes":
			form, example = tmpfsCount, "10k"
		case "mode":
			form, example = tmpfsMode, "1777"
		case "uid", "gid":
		default:
			continue
		}
		if value != "" && !form.MatchString(value) {
			v.l.fail(item, at, fmt.Sprintf("%s of a tmpfs is %q", name, shorten(value)), "write it as "+name+"="+example)
		}
	}
}

// givenOptions is a short form without the options that have an empty value:
// the kernel does not take them for "not given".
func givenOptions(short string) string {
	target, options, ok := strings.Cut(short, ":")
	if !ok {
		return short
	}
	var given []string
	for option := range strings.SplitSeq(options, ",") {
		if option != "" && !strings.HasSuffix(option, "=") {
			given = append(given, option)
		}
	}
	return strings.TrimSuffix(target+":"+strings.Join(given, ","), ":")
}
