package supervisor

import (
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

// FuzzReadRecord holds that what a disk gives back is a record or damaged, and
// that what is done with any record does not panic.
func FuzzReadRecord(f *testing.F) {
	f.Add([]byte(`{"id":"c","applied":{"service":{"image":"x"}}}`), []byte(`{"state":"running"}`))
	f.Add([]byte(`{"applied":{"service":null}}`), []byte(`null`))
	f.Add([]byte(`{"applied":{"service":{"labels":{"":""}}},"number":-1}`), []byte(`{"restarts":-9}`))
	f.Fuzz(func(t *testing.T, metadata, status []byte) {
		k := &containers.Container{Extensions: map[string]typeurl.Any{extension: &anypb.Any{TypeUrl: metadataType, Value: metadata}}}
		rec, err := ReadRecord(k, status)
		if err == nil {
			rec.Terms()
			rec.UsedVolumes()
			rec.IsOver()
			if err := rec.Extend(k); err != nil {
				t.Errorf("what was read can't be written: %v", err)
			}
		} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoMetadata) {
			t.Errorf("the error is %v", err)
		}
		if rec, err := ReadOldRecord(status, metadata); err == nil {
			rec.Terms()
		}
	})
}
