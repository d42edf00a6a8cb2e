package forms

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
)

// scalar checks a single value and brings it into canonical text.
func (c *Conformer) scalar(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.Kind != tree.ScalarNode {
		return c.expected(n, path, wanted(k))
	}
	switch k.Shape {
	case schema.String, schema.DirPath, schema.FilePath:
		return c.word(n, k, path)
	case schema.StringOrNumber:
		return c.textOf(n, path)
	case schema.StringOrFlag:
		if n.Tag == "!!int" || n.Tag == "!!float" {
			return c.quoteIt(n, path)
		}
		return c.textOf(n, path)
	}
	tag, text, ok := "!!str", "", false
	switch k.Shape {
	case schema.Boolean:
		tag = "!!bool"
		text, ok = spec.ParseFlag(n.Text)
	case schema.Integer:
		tag = "!!int"
		text, ok = parseWhole(n.Text)
	case schema.Number:
		tag = "!!float"
		f, err := strconv.ParseFloat(tree.PlainNumber(n.Text), 64)
		text, ok = n.Text, err == nil && f >= 0 && !math.IsInf(f, 0)
	case schema.Duration:
		var d time.Duration
		d, ok = spec.ParseDuration(n.Text)
		ok = ok && (n.Tag == "!!str" || n.Text == "0")
		text = d.String()
	case schema.Bytes, schema.BytesOrUnlimited:
		var b int64
		if b, ok = spec.ParseBytes(n.Text); !ok && k.Shape == schema.BytesOrUnlimited && n.Text == "-1" {
			b, ok = -1, true
		}
		text = strconv.FormatInt(b, 10)
	case schema.Microseconds:
		tag = "!!int"
		text, ok = parseMicroseconds(n.Text)
	case schema.FileMode:
		return c.fileMode(n, path)
	}
	if !ok {
		if len(n.Unset()) > 0 && n.Text == "" {
			return n.Bad()
		}
		hint := ""
		if k.Shape == schema.Duration && n.Tag == "!!int" {
			hint = "write " + n.Text + "s for seconds"
		}
		return c.fail(n, path, "expected "+wanted(k)+", not "+n.Describe(), hint)
	}
	if n.Tag == tag && n.Text == text && n.Origin == nil {
		return n
	}
	made := c.text(n, tag, text)
	made.SetUnset(n.Unset())
	return made
}

// wanted says what a scalar of a shape looks like.
func wanted(k *schema.Key) string {
	switch k.Shape {
	case schema.Boolean:
		return "true or false"
	case schema.Integer:
		return "an integer"
	case schema.Number:
		return "a number"
	case schema.Duration:
		return "a duration such as 90s or 1m30s"
	case schema.Bytes:
		return "a size such as 512m or 2gb"
	case schema.BytesOrUnlimited:
		return "a size such as 512m or 2gb, or -1"
	case schema.Microseconds:
		return "microseconds such as 50000, or a duration such as 50ms"
	case schema.FileMode:
		return "permission bits such as 0440"
	case schema.DirPath, schema.FilePath:
		return "a path"
	}
	return "text"
}

func (c *Conformer) word(n *tree.Node, k *schema.Key, path string) *tree.Node {
	if n.IsPlainValue() {
		return c.quoteIt(n, path)
	}
	if k.Words != nil && !slices.Contains(k.Words, n.Text) {
		if len(n.Unset()) > 0 && n.Text == "" {
			return n.Bad()
		}
		words := slices.DeleteFunc(slices.Clone(k.Words), func(w string) bool { return w == "" }) // which says nothing
		return c.fail(n, path, fmt.Sprintf("%q is not one of %s", spec.Shorten(n.Text), strings.Join(words, ", ")), spec.DidYouMean(n.Text, words))
	}
	if k.Shape == schema.FilePath || k.Shape == schema.DirPath && !c.isFetched(n.Text) {
		made := n.Scalar("!!str", c.absolute(n.Text))
		made.SetOrigin(n.Text, n.Unset())
		return made
	}
	return n
}

func parseWhole(s string) (string, bool) {
	v, err := strconv.ParseInt(tree.PlainNumber(s), 0, 64)
	return strconv.FormatInt(v, 10), err == nil
}

// parseMicroseconds reads a number of microseconds, or a duration.
func parseMicroseconds(s string) (string, bool) {
	if text, ok := parseWhole(s); ok {
		return text, true
	}
	d, ok := spec.ParseDuration(s)
	return strconv.FormatInt(d.Microseconds(), 10), ok
}

// fileMode reads permission bits: a YAML number by its own base (0440 is
// octal), text always as octal.
func (c *Conformer) fileMode(n *tree.Node, path string) *tree.Node {
	base := 8
	if n.Tag == "!!int" {
		base = 0
	}
	v, err := strconv.ParseUint(tree.PlainNumber(n.Text), base, 32)
	if err != nil || v > 0o7777 {
		return c.expected(n, path, wanted(&schema.Key{Shape: schema.FileMode}))
	}
	if n.Tag == "!!int" && n.Text != "0" && n.Text[0] != '0' {
		c.warn(n, path, fmt.Sprintf("%s is a decimal number: the mode becomes %#o", n.Text, v), "write 0"+n.Text+" for octal")
	}
	made := n.Scalar("!!int", strconv.FormatUint(v, 10))
	made.SetUnset(n.Unset())
	return made
}
