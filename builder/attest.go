package builder

import (
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/orlop/orlop/spec"
)

// usualScanner is the image that lists what an image consists of where a build does
// not name one; it is BuildKit's own.
const usualScanner = "docker/buildkit-syft-scanner:stable-1"

// attestation says whether a build is to have an attestation, and with which options.
func attestation(value string) (on bool, options string) {
	if value == "" {
		return false, ""
	}
	if on, err := strconv.ParseBool(value); err == nil {
		return on, ""
	}
	return true, value
}

// scanner is the image that makes the list of a build; "" if it has none.
func scanner(b *spec.Build) string {
	on, options := attestation(b.SBOM)
	if !on {
		return ""
	}
	name := usualScanner
	for option := range strings.SplitSeq(options, ",") {
		if value, ok := strings.CutPrefix(option, "generator="); ok {
			name = value
		}
	}
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return name
	}
	return named.String()
}

// noScanner says that a build failed for want of the image that makes its list, with
// the place that asks for it; "" where the cause is another.
func noScanner(req Request, err error) string {
	if req.Build == nil {
		return ""
	}
	name := scanner(req.Build)
	if name == "" || !strings.Contains(err.Error(), "failed to resolve source metadata for "+name+":") {
		return ""
	}
	return placed(req.Places, "services."+req.Service+".build.sbom",
		"the scanner image "+name+" is not here, and its registry can't be reached: load it with \"orlop image load\", set a mirror, or name another with generator=IMAGE")
}
