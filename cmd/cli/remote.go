package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/consent"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
)

// remoteStacks are the remote stacks of a load that asks nobody for them.
func (s *Settings) remoteStacks() remote.Config {
	cache := s.cacheDir()
	if cache != "" {
		cache = filepath.Join(cache, "remotes")
	}
	return remote.Config{Cache: cache, Environ: s.Environ, Offline: true}
}

// fetchedStacks are those of a load that fetches what is not there.
func (inv *Invocation) fetchedStacks() *remote.Stacks {
	c := inv.remoteStacks()
	c.Offline, c.Update, c.Frozen = false, inv.UpdateRemotes, isCI(inv.Env["CI"])
	c.Tell, c.Login, c.Plain = inv.SayNotice, builder.Login, inv.isPlain
	return remote.New(c)
}

// isCI says that a value of the variable CI is set by a CI system: some set it to their name.
func isCI(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}

// isPlain says that a registry is reached without TLS: on the command line's word, or as the engine, if one runs, reaches it.
func (inv *Invocation) isPlain(ctx context.Context, host string) bool {
	if slices.Contains(inv.InsecureRegistries, host) {
		return true
	}
	client, err := api.Dial(ctx, inv.Socket())
	if err != nil {
		return false
	}
	defer client.Close()
	status, err := inv.Greet(ctx, client)
	return err == nil && slices.Contains(status.PlainRegistries, host)
}

// keepLock writes down what the remote stacks of a project are. Where only -f names
// some, there is no project of the user's to keep it in.
func (inv *Invocation) keepLock(stacks *remote.Stacks, p *spec.Project) {
	isForeign := len(p.Files) > 0 && slices.ContainsFunc(p.Remotes, func(r *spec.Remote) bool { return r.NameOf(p.Files[0]) != "" })
	if inv.DryRun {
		return
	}
	changes, err := stacks.Save(p.WorkingDir, !isForeign || inv.UpdateRemotes)
	if err != nil && !inv.IsSilent() && !inv.toldBefore(p.WorkingDir+"\n"+err.Error()) {
		fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(" ! "+display.Printable(err.Error())))
	}
	if len(changes) > 0 {
		inv.lockChanged.Store(true)
	}
	for _, line := range changes {
		inv.SayNotice(remote.LockFile + ": " + line)
	}
}

// LockChanged says that the command has written another lock than there was.
func (inv *Invocation) LockChanged() bool { return inv.lockChanged.Load() }

// errDeclined is the error where the user says no.
var errDeclined = errors.New("not allowed: nothing was changed")

// Consent shows what remote stacks ask of the machine, and asks for a yes, once for what
// they are. What a flag allows holds for this command. Only the first call of a command asks: later its terminal has another use.
func (inv *Invocation) Consent(ctx context.Context, p *spec.Project) error {
	isFirst := inv.consents == nil
	if isFirst {
		inv.consents = consent.LedgerIn(inv.Env)
	}
	wishes := inv.consents.New(consent.Wishes(p, inv.RootDir(), inv.StateDir()))
	if len(wishes) == 0 {
		return nil
	}
	for _, w := range wishes {
		fmt.Fprint(inv.Stderr, w)
	}
	if inv.AllowRemotes {
		inv.consents.Allow(wishes)
		return nil
	}
	if err := inv.askFor(ctx, isFirst); err != nil {
		return err
	}
	if err := inv.consents.Keep(wishes); err != nil {
		fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(fmt.Sprintf(" ! cannot keep your answer (%v): you will be asked again", err)))
	}
	return nil
}

// askFor asks for a yes where it may, and somebody can answer.
func (inv *Invocation) askFor(ctx context.Context, may bool) error {
	if !may || inv.IsSilent() || !display.IsTerminal(inv.Stdin) || !display.IsTerminal(inv.Stderr) {
		return errors.New(`a remote stack asks for what nobody has allowed yet: look at the list above, and allow it at a terminal, or this time with --allow-remotes`)
	}
	isAllowed, err := inv.Confirm(ctx, "Allow this, now and later?")
	if err == nil && !isAllowed {
		err = errDeclined
	}
	return err
}

// remoteDirs are the directories of a project's remote stacks, by their names.
func remoteDirs(p *spec.Project) map[string]string {
	dirs := map[string]string{}
	for _, r := range p.Remotes {
		dirs[r.Name] = r.Dir
	}
	return dirs
}
