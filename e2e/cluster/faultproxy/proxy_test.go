package faultproxy

import (
	"net/http/httptest"
	"testing"
)

func TestName(t *testing.T) {
	tests := []struct{ method, url, kind, want string }{
		{"GET", "/api/v1/namespaces/n/pods", "", "list pods"},
		{"GET", "/api/v1/namespaces/n/pods/p", "", "get pods"},
		{"GET", "/api/v1/namespaces/n/pods/p/log", "", "get pods/log"},
		{"GET", "/api/v1/namespaces/n", "", "get namespaces"},
		{"GET", "/api/v1/namespaces", "", "list namespaces"},
		{"GET", "/apis/apps/v1/namespaces/n/deployments?watch=true", "", "watch deployments"},
		{"GET", "/apis/apps/v1/deployments?watch=1", "", "watch deployments"},
		{"GET", "/api/v1/namespaces/n/pods/p/log?container=c&follow=true", "", "follow pods/log"},
		{"PATCH", "/apis/apps/v1/namespaces/n/deployments/d?fieldManager=orlop&force=false", "application/apply-patch+yaml", "apply deployments"},
		{"PATCH", "/apis/apps/v1/namespaces/n/deployments/d?dryRun=All", "application/apply-patch+cbor", "dry-apply deployments"},
		{"PATCH", "/apis/apps/v1/namespaces/n/deployments/d/scale", "application/merge-patch+json", "patch deployments/scale"},
		{"DELETE", "/api/v1/namespaces/n/secrets", "", "deletecollection secrets"},
		{"DELETE", "/api/v1/namespaces/n/secrets/s", "", "delete secrets"},
		{"POST", "/apis/batch/v1/namespaces/n/jobs", "application/json", "create jobs"},
		{"GET", "/apis/apps/v1", "", "discover /apis/apps/v1"},
		{"GET", "/openapi/v3", "", "discover /openapi/v3"},
		{"GET", "/version", "", "discover /version"},
	}
	for _, test := range tests {
		r := httptest.NewRequest(test.method, test.url, nil)
		r.Header.Set("Content-Type", test.kind)
		if got := name(r); got != test.want {
			t.Errorf("%s %s is %q, want %q", test.method, test.url, got, test.want)
		}
	}
}
