package cluster

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFieldsThatWeHaveAppliedAreOursAlone(t *testing.T) {
	entry := func(manager string, how metav1.ManagedFieldsOperationType, subresource, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: how, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	ours := entry(Manager, metav1.ManagedFieldsOperationApply, "", `{"f:spec":{"f:replicas":{},"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{}}}}}`)
	scaled := entry("hpa", metav1.ManagedFieldsOperationUpdate, "scale", `{"f:spec":{"f:replicas":{}}}`)
	left, isOther, err := ownedAlone([]metav1.ManagedFieldsEntry{
		entry("kubectl-client-side-apply", metav1.ManagedFieldsOperationUpdate, "", `{"f:metadata":{"f:annotations":{".":{},"f:note":{}}},"f:spec":{"f:replicas":{},"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:tty":{}}}}}`),
		entry("kubectl-scale", metav1.ManagedFieldsOperationUpdate, "", `{"f:spec":{"f:replicas":{}}}`),
		ours, scaled,
	})
	if err != nil || !isOther {
		t.Fatalf("others have fields of ours: %v, %v", isOther, err)
	}
	var got string
	for _, e := range left {
		got += e.Manager + " " + e.Subresource + " " + e.FieldsV1.GetRawString() + "\n"
	}
	want := `kubectl-client-side-apply  {"f:metadata":{"f:annotations":{".":{},"f:note":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:tty":{}}}}}` + "\n" +
		"orlop  " + ours.FieldsV1.GetRawString() + "\nhpa scale " + scaled.FieldsV1.GetRawString() + "\n"
	if got != want {
		t.Errorf("they are\n%s, want\n%s", got, want)
	}
	if _, isOther, err = ownedAlone(left); err != nil || isOther {
		t.Errorf("there are some left: %v, %v", isOther, err)
	}
}
