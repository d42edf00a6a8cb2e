package spec

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scalar checks a single value and brings it into canonical text.
func (c *conformer) scalar(n *node, k *key, path string) *node {
	if n.kind != scalarNode {
		return c.expected(n, path, wanted(k))
	}
	switch k.shape {
	case text, dirPath, filePath:
		return c.text(n, k, path)
	case numberText:
		return c.textOf(n, path)
	}
	made := n.scalar("!!str", "")
	made.unset = n.unset
	var ok bool
	switch k.shape {
	case truth:
		made.tag = "!!bool"
		made.text, ok = parseFlag(n.text)
	case whole:
		made.tag = "!!int"
		made.text, ok = parseWhole(n.text)
	case real:
		made.tag = "!!float"
		f, err := strconv.ParseFloat(plainNumber(n.text), 64)
		made.text, ok = n.text, err == nil && f >= 0 && !math.IsInf(f, 0)
	case span:
		var d time.Duration
		d, ok = parseDuration(n.text)
		ok = ok && (n.tag == "!!str" || n.text == "0")
		made.text = d.String()
	case size:
		var b int64
		b, ok = parseBytes(n.text)
		made.text = strconv.FormatInt(b, 10)
	case fileMode:
		return c.fileMode(n, path)
	}
	if !ok {
		if len(n.unset) > 0 && n.text == "" {
			return n.bad()
		}
		hint := ""
		if k.shape == span && n.tag == "!!int" {
			hint = "write " + n.text + "s for seconds"
		}
		return c.fail(n, path, "expected "+wanted(k)+", not "+n.describe(), hint)
	}
	return made
}

// wanted says what a scalar of a shape looks like.
func wanted(k *key) string {
	switch k.shape {
	case truth:
		return "true or false"
	case whole:
		return "a whole number"
	case real:
		return "a number"
	case span:
		return "a duration such as 90s or 1m30s"
	case size:
		return "a size such as 512m or 2gb"
	case fileMode:
		return "permission bits such as 0440"
	case dirPath, filePath:
		return "a path"
	}
	return "text"
}

func (c *conformer) text(n *node, k *key, path string) *node {
	if n.isPlainValue() {
		return c.quoteIt(n, path)
	}
	if k.words != nil && !slices.Contains(k.words, n.text) {
		if len(n.unset) > 0 && n.text == "" {
			return n.bad()
		}
		return c.fail(n, path, fmt.Sprintf("%q is not one of %s", shorten(n.text), strings.Join(k.words, ", ")), didYouMean(n.text, k.words))
	}
	if k.shape == filePath || k.shape == dirPath && !c.isFetched(n.text) {
		made := n.scalar("!!str", c.absolute(n.text))
		made.unset, made.raw = n.unset, n.text
		return made
	}
	return n
}

// parseFlag reads a truth value as YAML 1.1 knows them, which old files use.
func parseFlag(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return "true", true
	case "false", "no", "off", "n":
		return "false", true
	}
	return "", false
}

// IsTrue reads a variable of the environment that switches something on: the
// truth values of a stack file, and those that Compose reads there beside them.
func IsTrue(s string) bool {
	flag, _ := parseFlag(s)
	return flag == "true" || s == "1" || strings.EqualFold(s, "t")
}

func parseWhole(s string) (string, bool) {
	v, err := strconv.ParseInt(plainNumber(s), 0, 64)
	return strconv.FormatInt(v, 10), err == nil
}

// parseDuration reads Go's durations, and days and weeks.
func parseDuration(s string) (time.Duration, bool) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, d >= 0
	}
	var total time.Duration
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return 0, false
		}
		unit := s[end:]
		if next := strings.IndexAny(unit, "0123456789."); next >= 0 {
			unit = unit[:next]
		}
		number := s[:end]
		s = s[end+len(unit):]
		value, err := strconv.ParseFloat(number, 64)
		days := map[string]float64{"d": 24, "w": 7 * 24}[unit]
		if err == nil && days > 0 {
			hours := value * days
			if hours > math.MaxInt64/float64(time.Hour)/2 {
				return 0, false
			}
			total += time.Duration(hours * float64(time.Hour))
			continue
		}
		d, err := time.ParseDuration(number + unit)
		if err != nil {
			return 0, false
		}
		total += d
	}
	return total, total >= 0
}

// parseBytes reads a size: a number and b, k, m, g, t or p, each also with b
// or ib; all count by 1024. Less than a byte is no size: it would become zero,
// which means no limit.
func parseBytes(s string) (int64, bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	value, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return 0, false
	}
	unit := strings.ToLower(strings.TrimSpace(s[end:]))
	if unit != "" && unit != "b" {
		power := strings.IndexByte("kmgtp", unit[0]) + 1
		if rest := unit[1:]; power == 0 || (rest != "" && rest != "b" && rest != "ib" && rest != "i") {
			return 0, false
		}
		value *= math.Pow(1024, float64(power))
	}
	return int64(value), value < math.MaxInt64 && (value == 0 || value >= 1)
}

// fileMode reads permission bits: a YAML number by its own base (0440 is
// octal), text always as octal.
func (c *conformer) fileMode(n *node, path string) *node {
	base := 8
	if n.tag == "!!int" {
		base = 0
	}
	v, err := strconv.ParseUint(plainNumber(n.text), base, 32)
	if err != nil || v > 0o7777 {
		return c.expected(n, path, wanted(&key{shape: fileMode}))
	}
	if n.tag == "!!int" && n.text != "0" && n.text[0] != '0' {
		c.warn(n, path, fmt.Sprintf("%s is a decimal number: the mode becomes %#o", n.text, v), "write 0"+n.text+" for octal")
	}
	made := n.scalar("!!int", strconv.FormatUint(v, 10))
	made.unset = n.unset
	return made
}
