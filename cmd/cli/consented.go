package cli

import (
	"github.com/orlop/orlop/cmd/consent"
	"github.com/orlop/orlop/spec"
)

// refusedFor is the remote stack that says a part of a service, and that the user has
// not said yes to; nil: there is none. Nobody is asked.
func (inv *Invocation) refusedFor(p *spec.Project, service string) *spec.Remote {
	if len(p.Remotes) == 0 {
		return nil
	}
	ledger := inv.consents
	if ledger == nil {
		ledger = consent.LedgerIn(inv.Env)
	}
	return ledger.Refuses(p, service, inv.RootDir(), inv.StateDir())
}
