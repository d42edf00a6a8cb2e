package values

import (
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
)

// numberForm is a form of the numbers that the kernel takes as options of a tmpfs.
type numberForm struct {
	digits   string
	suffixes string // of which one may follow
	example  string
}

func (f numberForm) matches(value string) bool {
	if last := len(value) - 1; last > 0 && strings.IndexByte(f.suffixes, value[last]) >= 0 {
		value = value[:last]
	}
	return value != "" && strings.Trim(value, f.digits) == ""
}

// tmpfsOptions checks the numbers of a short form: size=64m,mode=1777. The
// kernel refuses a wrong one without a word.
func (c checker) tmpfsOptions(item *tree.Node, options, at string) {
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		const decimal, units = "0123456789", "kKmMgGtTpPeE"
		form := numberForm{decimal, "", "1000"}
		switch name {
		case "size":
			form = numberForm{decimal, units + "%", "64m or 50%"}
		case "nr_blocks", "nr_inodes":
			form = numberForm{decimal, units, "10k"}
		case "mode":
			form = numberForm{"01234567", "", "1777"}
		case "uid", "gid":
		default:
			continue
		}
		if value != "" && !form.matches(value) {
			c.Fail(item, at, fmt.Sprintf("%s of a tmpfs is %q", name, spec.Shorten(value)), "write it as "+name+"="+form.example)
		}
	}
}

// GivenOptions is a short form without the options that have an empty value:
// the kernel does not take them for "not given".
func GivenOptions(short string) string {
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
