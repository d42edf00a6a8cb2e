package cli

// MissingVerb says what to do without a verb of Compose that Orlop does not
// have; "" of any other word. docs/compose-verbs.md says the same.
func MissingVerb(word string) string {
	if why := missing[word]; why != "" {
		return "orlop has no " + word + ": " + why
	}
	return ""
}

// missing are the verbs of Compose that are refused, and those of Docker that have another name here.
var missing = map[string]string{
	"alpha": `what it tries out is there by its own name: --dry-run, publish, scale, watch, and "orlop graph" for alpha viz`,
	"rmi":   `"orlop image rm" removes images`, "tag": `"orlop image tag" names images`, "import": `"orlop image import" makes an image of a tar archive`,
	"load": `"orlop image load" reads an archive of images`, "save": `"orlop image save" writes images to an archive`, "history": `"orlop image history" tells what an image consists of`,
	"inspect": `"orlop container inspect" and "orlop image inspect" tell all about one`, "diff": `"orlop container diff" and "orlop image diff" tell what differs`,
	"prune": `"orlop system prune" removes what nothing uses`, "info": `"orlop engine status" and "orlop doctor" tell how things are`,
	"rename": "a container keeps the name that it was made with",
}
