package runner

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/orlop/orlop/spec"
)

// What else the stack file asks for is not carried out with the labels, and is
// told of again.
func TestNewLabelsMakeNothingElseApplied(t *testing.T) {
	store, labels := newMemory(), map[string]string{"b": "2"}
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
