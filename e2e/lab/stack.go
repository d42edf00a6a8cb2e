package lab

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// StackFile is a file of a stack that is published as Compose does it.
type StackFile struct {
	Kind    string // "file", "envfile", or "extends": a file that an extends of another names
	Name    string // as the annotation of its layer says it
	Content string
}

// PublishStack puts a stack under a name such as "stacks/app:1", and gives its digest.
func (r *Registry) PublishStack(name string, files ...StackFile) (digest.Digest, error) {
	empty := []byte("{}")
	blobs := map[digest.Digest][]byte{digest.FromBytes(empty): empty}
	m := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: "application/vnd.docker.compose.project",
		Config: v1.DescriptorEmptyJSON,
	}
	for _, f := range files {
		content := []byte(f.Content)
		layer := v1.Descriptor{MediaType: "application/vnd.docker.compose.file+yaml", Digest: digest.FromBytes(content), Size: int64(len(content))}
		layer.Annotations = map[string]string{"com.docker.compose.file": f.Name}
		switch f.Kind {
		case "envfile":
			layer.MediaType = "application/vnd.docker.compose.envfile"
			layer.Annotations = map[string]string{"com.docker.compose.envfile": f.Name}
		case "extends":
			layer.Annotations["com.docker.compose.extends"] = "true"
		case "file":
		default:
			return "", fmt.Errorf("%s: there is no kind of file of a stack with that name", f.Kind)
		}
		blobs[layer.Digest] = content
		m.Layers = append(m.Layers, layer)
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	r.store.add(name, manifest, blobs)
	return digest.FromBytes(manifest), nil
}
