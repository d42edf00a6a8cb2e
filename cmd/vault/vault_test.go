package vault

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
)

// keeping is an engine's vault that has one entry, and a file that is none any more.
type keeping struct{ api.VaultClient }

func (keeping) Entries(context.Context, *api.EntriesRequest, ...grpc.CallOption) (*api.EntriesReply, error) {
	return &api.EntriesReply{
		Entries: []*api.VaultEntry{{Name: "good", Secret: true}},
		Warning: "bad: its file /v/secrets/bad is damaged: create it again\ncannot tell which projects use it: input/output error",
	}, nil
}

// TestADamagedEntryIsNotUnknown holds that inspect says what can't be read, and why.
func TestADamagedEntryIsNotUnknown(t *testing.T) {
	v := &Verbs{Kind: "secret"}
	found, errs := v.documents(t.Context(), keeping{}, []string{"good", "bad", "none"})
	text := errors.Join(errs...).Error()
	if len(found) != 1 || len(errs) != 3 {
		t.Errorf("%v %v", found, errs)
	}
	for _, want := range []string{"cannot read secret bad: its file /v/secrets/bad is damaged: create it again", "cannot tell which projects", "no secret named none"} {
		if !strings.Contains(text, want) {
			t.Errorf("it doesn't say %q: %s", want, text)
		}
	}
}
