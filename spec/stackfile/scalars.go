package stackfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// scalar checks a single value and brings it into canonical text.
func (c *conformer) scalar(n *node, k *schema.Key, path string) *node {
	if n.kind != scalarNode {
		return c.expected(n, path, wanted(k))
	}
	switch k.Shape {
	case schema.String, schema.DirPath, schema.FilePath:
		return c.text(n, k, path)
	case schema.StringOrNumber:
		return c.textOf(n, path)
	}
	made := n.scalar("!!str", "")
	made.unset = n.unset
	var ok bool
	switch k.Shape {
	case schema.Boolean:
		made.tag = "!!bool"
		made.text, ok = spec.ParseFlag(n.text)
	case schema.Integer:
		made.tag = "!!int"
		made.text, ok = parseWhole(n.text)
	case schema.Number:
		made.tag = "!!float"
		f, err := strconv.ParseFloat(plainNumber(n.text), 64)
		made.text, ok = n.text, err == nil && f >= 0 && !math.IsInf(f, 0)
	case schema.Duration:
		var d time.Duration
		d, ok = spec.ParseDuration(n.text)
		ok = ok && (n.tag == "!!str" || n.text == "0")
		made.text = d.String()
	case schema.Bytes:
		var b int64
		b, ok = spec.ParseBytes(n.text)
		made.text = strconv.FormatInt(b, 10)
	case schema.FileMode:
		return c.fileMode(n, path)
	}
	if !ok {
		if len(n.unset) > 0 && n.text == "" {
			return n.bad()
		}
		hint := ""
		if k.Shape == schema.Duration && n.tag == "!!int" {
			hint = "write " + n.text + "s for seconds"
		}
		return c.fail(n, path, "expected "+wanted(k)+", not "+n.describe(), hint)
	}
	return made
}

// wanted says what a scalar of a shape looks like.
func wanted(k *schema.Key) string {
	switch k.Shape {
	case schema.Boolean:
		return "true or false"
	case schema.Integer:
		return "a whole number"
	case schema.Number:
		return "a number"
	case schema.Duration:
		return "a duration such as 90s or 1m30s"
	case schema.Bytes:
		return "a size such as 512m or 2gb"
	case schema.FileMode:
		return "permission bits such as 0440"
	case schema.DirPath, schema.FilePath:
		return "a path"
	}
	return "text"
}

func (c *conformer) text(n *node, k *schema.Key, path string) *node {
	if n.isPlainValue() {
		return c.quoteIt(n, path)
	}
	if k.Words != nil && !slices.Contains(k.Words, n.text) {
		if len(n.unset) > 0 && n.text == "" {
			return n.bad()
		}
		return c.fail(n, path, fmt.Sprintf("%q is not one of %s", spec.Shorten(n.text), strings.Join(k.Words, ", ")), spec.DidYouMean(n.text, k.Words))
	}
	if k.Shape == schema.FilePath || k.Shape == schema.DirPath && !c.isFetched(n.text) {
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
		return c.expected(n, path, wanted(&schema.Key{Shape: schema.FileMode}))
	}
	if n.tag == "!!int" && n.text != "0" && n.text[0] != '0' {
		c.warn(n, path, fmt.Sprintf("%s is a decimal number: the mode becomes %#o", n.text, v), "write 0"+n.text+" for octal")
	}
	made := n.scalar("!!int", strconv.FormatUint(v, 10))
	made.unset = n.unset
	return made
}
