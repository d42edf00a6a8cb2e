package engine

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/engine/outbound"
)

// TestEachHostIsTrustedByItsOwnSettings: a mirror is another host than the registry
// that it stands in for.
func TestEachHostIsTrustedByItsOwnSettings(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	mirror := strings.TrimPrefix(server.URL, "https://")
	for settings, want := range map[string]string{
		"registries: {docker.io: {mirrors: ['MIRROR'], ca: [CA]}}":                   "x509",
		"registries: {docker.io: {mirrors: ['MIRROR'], insecure: true}}":             "x509",
		"registries: {docker.io: {mirrors: ['MIRROR']}, 'MIRROR': {insecure: true}}": "",
	} {
		text := strings.NewReplacer("MIRROR", mirror, "CA", ca).Replace(settings)
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "engine.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		hosts, err := registryHosts(root, &outbound.Callers{})("docker.io")
		if err != nil || len(hosts) == 0 || hosts[0].Host != mirror {
			t.Fatalf("%s: %v, %v", settings, hosts, err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hosts[0].Client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %q is wanted", settings, err, want)
		}
	}
}
