package push

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ownSource is the label of ours that says which repositories of a registry have a blob, where that has a port:
// containerd's has none, so that registries of one host would be taken for each other.
const ownSource = "io.orlop.source."

// mostSources is how many repositories are noted: a label is limited to 4,096 bytes.
const mostSources = 12

// SourceLabel is the label of a blob that says which repositories of a registry have it.
func SourceLabel(registry string) string {
	if host := hostOf(registry); host == registry {
		return labels.LabelDistributionSource + "." + host
	}
	return ownSource + registry
}

func hostOf(registry string) string {
	u := url.URL{Host: registry}
	return u.Hostname()
}

// sourceOf is another repository of the registry that has a blob; "" if none is known. What was pulled from a registry
// with a port has the label of containerd alone: a source that is of another port costs nothing but its mention.
func (s *sending) sourceOf(ctx context.Context, d ocispec.Descriptor) string {
	store, ok := s.job.From.(content.InfoProvider)
	if !ok {
		return ""
	}
	info, err := store.Info(ctx, d.Digest)
	if err != nil {
		return ""
	}
	if own := nearest(info.Labels[SourceLabel(s.repo.named)], s.repo.name); own != "" {
		return own
	}
	return nearest(info.Labels[labels.LabelDistributionSource+"."+hostOf(s.repo.named)], s.repo.name)
}

// nearest is the repository of a list that begins most like another, itself left out.
func nearest(list, name string) (best string) {
	most := -1
	for one := range strings.SplitSeq(list, ",") {
		if one == "" || one == name {
			continue
		}
		n := 0
		for n < min(len(one), len(name)) && one[n] == name[n] {
			n++
		}
		if n > most {
			best, most = one, n
		}
	}
	return best
}

// label notes that the repository has a blob or a document: another push takes it from there.
func (s *sending) label(ctx context.Context, d ocispec.Descriptor) {
	store, ok := s.job.From.(content.Manager)
	if !ok {
		return
	}
	info, err := store.Info(ctx, d.Digest)
	if err != nil {
		return
	}
	key := SourceLabel(s.repo.named)
	known := strings.FieldsFunc(info.Labels[key], func(r rune) bool { return r == ',' })
	if slices.Contains(known, s.repo.name) {
		return
	}
	known = append(known, s.repo.name)
	value := strings.Join(known[max(0, len(known)-mostSources):], ",")
	if labels.Validate(key, value) != nil {
		return // without it the blob is sent again
	}
	_, _ = store.Update(ctx, content.Info{Digest: d.Digest, Labels: map[string]string{key: value}}, "labels."+key) // likewise
}
