package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/orlop/orlop/spec"
)

// What else the stack file asks for is not carried out with the labels, and is
// told of again.
func TestNewLabelsMakeNothingElseApplied(t *testing.T) {
	store, dir := newMemory(), t.TempDir()
	made := &spec.Volume{Name: "v", Driver: "local", Labels: map[string]string{"a": "1"}}
	v := &volumes{dir: dir, store: store, all: map[string]*volume{"v": {Name: "v", Applied: made}}}
	if err := os.Mkdir(filepath.Join(dir, "v"), 0o755); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"b": "2"}
	if err := v.relabel("v", &spec.Volume{Name: "v", Labels: labels}); err != nil {
		t.Fatal(err)
	}
	if got, want := v.all["v"].Applied, (&spec.Volume{Name: "v", Driver: "local", Labels: labels}); !reflect.DeepEqual(got, want) {
		t.Errorf("the volume has %+v", got)
	}
	if made.Labels["a"] != "1" {
		t.Error("what was observed before has changed")
	}

	r := &Runner{store: store}
	r.saveNetwork("n", networkRecord{Key: "n", Subnet: "10.0.0.0/24", Applied: &spec.Network{Name: "n", Internal: true}})
	if err := r.relabelNetwork("n", &spec.Network{Name: "n", Labels: labels}); err != nil {
		t.Fatal(err)
	}
	docs, _ := store.Load(bucketNetworks)
	var rec networkRecord
	if err := json.Unmarshal(docs["n"], &rec); err != nil {
		t.Fatal(err)
	}
	want := networkRecord{Key: "n", Subnet: "10.0.0.0/24", Applied: &spec.Network{Name: "n", Internal: true, Labels: labels}}
	if !reflect.DeepEqual(rec, want) {
		t.Errorf("the network has %+v", rec.Applied)
	}
}
