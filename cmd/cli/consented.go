package cli

import (
	"strings"

	"github.com/orlop/orlop/cmd/consent"
	"github.com/orlop/orlop/spec"
)

// refusedFor is the remote stack that says a part of a service, and that the user has
// not said yes to; nil: there is none. Nobody is asked.
func (inv *Invocation) refusedFor(p *spec.Project, name string) *spec.Remote {
	if len(p.Remotes) == 0 {
		return nil
	}
	ledger := inv.consents
	if ledger == nil {
		ledger = consent.LedgerIn(inv.Env)
	}
	for _, w := range ledger.New(consent.Wishes(p, inv.RootDir(), inv.StateDir())) {
		for path, place := range p.Places.All() {
			if strings.HasPrefix(path+".", "services."+name+".") && place.IsIn(w.Remote) {
				return w.Remote
			}
		}
	}
	return nil
}
