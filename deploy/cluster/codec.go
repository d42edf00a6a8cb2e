package cluster

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// newSerializer reads nothing but errors: what we ask for by path are streams.
func newSerializer() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	v1.AddToGroupVersion(scheme, v1.SchemeGroupVersion)
	return serializer.NewCodecFactory(scheme).WithoutConversion()
}
