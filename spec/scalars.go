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

func parseWhole(s string) (string, bool) {
	v, err := strconv.ParseInt(plainNumber(s), 0, 64)
	return strconv.FormatInt(v, 10), err == nil
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
