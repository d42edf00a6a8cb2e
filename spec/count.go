package spec

import "strconv"

// Plural is a number of things in words: "1 file", "2 files", "3 entries" of
// the noun "entry".
func Plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case len(noun) > 1 && noun[len(noun)-1] == 'y' && noun[len(noun)-2] != 'a' && noun[len(noun)-2] != 'e':
		noun = noun[:len(noun)-1] + "ies"
	default:
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// Times is how often something happened: "once", "2 times".
func Times(n int) string {
	if n == 1 {
		return "once"
	}
	return strconv.Itoa(n) + " times"
}
