package image

import (
	"path"
	"regexp"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Contents is what the names of an archive's files tell of it. The zero value is of one without files.
type Contents struct{ hasList, hasParts bool }

// Note takes in the name of a file.
func (c *Contents) Note(name string) {
	name = path.Clean(name)
	c.hasList = c.hasList || name == dockerManifest || name == ocispec.ImageIndexFile
	c.hasParts = c.hasParts || isPart(name)
}

// AreImages says that the archive has images, and is not what one of them consists of.
func (c *Contents) AreImages() bool { return c.hasList && c.hasParts }

// digestName is a configuration or a layer by its digest, as Docker and other tools name them.
var digestName = regexp.MustCompile(`^(sha256:)?[0-9a-f]{64}(\.json|\.tar|\.tar\.gz)?$`)

// isPart says that a file is a part of an image by its name: a blob of an OCI layout, or a layer or a configuration as Docker saved them
// before version 25.
func isPart(name string) bool {
	dir, file := path.Split(name)
	switch strings.Count(dir, "/") {
	case 0:
		return digestName.MatchString(file)
	case 1:
		return file == "layer.tar"
	}
	return strings.HasPrefix(name, ocispec.ImageBlobsDir+"/")
}
