package cli

import (
	"testing"

	"github.com/orlop/orlop/api"
)

// TestADryRunCallsNothingThatChanges: what is not known to be harmless is refused.
func TestADryRunCallsNothingThatChanges(t *testing.T) {
	inv := &Invocation{Settings: Settings{Verb: "exec"}}
	for _, method := range []string{
		api.Engine_Apply_FullMethodName, api.Engine_Create_FullMethodName, api.Engine_Exec_FullMethodName, api.Engine_Attach_FullMethodName,
		api.Engine_Hold_FullMethodName, api.Engine_Sync_FullMethodName, api.Engine_LoadImages_FullMethodName, api.Engine_Shutdown_FullMethodName,
		api.Engine_RemoveVolume_FullMethodName, api.Vault_Put_FullMethodName, api.Signatures_Sign_FullMethodName, "/moby.buildkit.v1.Control/Solve", "/orlop.v1.Engine/ToCome",
	} {
		if err := inv.mayForesee(method); err == nil || err.Error() != "orlop exec has no dry run: nothing was done" {
			t.Errorf("%s: %v", method, err)
		}
	}
	for _, method := range foreseen() {
		if err := inv.mayForesee(method); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}
