package cli

// MissingVerb says what to do without a verb of Compose that Orlop does not
// have; "" of any other word.
func MissingVerb(word string) string {
	switch word {
	case "attach", "bridge", "commit", "cp", "export", "pause", "publish", "push", "unpause":
		return "orlop has no " + word + " yet"
	case "convert":
		return "orlop has no convert: \"orlop config\" prints the stack file"
	}
	return ""
}
