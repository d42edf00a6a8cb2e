package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec"
)

// admitStacks has the engine's policy asked about what a project has of registries. It was fetched and read by its digest; nothing
// of it was carried out.
func (inv *Invocation) admitStacks(ctx context.Context, client *api.Client, p *spec.Project) error {
	var asked []*api.AdmitRequest
	for _, r := range p.Remotes {
		image, isArtifact := strings.CutPrefix(r.Name, "oci://")
		if !isArtifact {
			continue
		}
		locked, err := remote.Locked(p.WorkingDir, r.Name)
		if err != nil {
			return err
		}
		asked = append(asked, &api.AdmitRequest{Name: image, Digest: r.Digest, Locked: locked})
	}
	if len(asked) == 0 {
		return nil
	}
	session, end, err := inv.LendLogins(ctx, client)
	if err != nil {
		return err
	}
	defer end()
	for _, r := range asked {
		r.Session = session
		if _, err := client.Signature.Admit(ctx, r); err != nil {
			return fmt.Errorf("the stack oci://%s is not run: %w", r.Name, Cause(ctx, err))
		}
	}
	return nil
}

// LendLogins opens a session that lends the caller's logins until end is called.
func (inv *Invocation) LendLogins(ctx context.Context, client *api.Client) (id string, end func(), err error) {
	if inv.Builder == nil {
		return "", func() {}, nil
	}
	session, err := inv.Builder.Open(ctx, &spec.Project{}, BuildOptions{Services: []string{}})
	if err != nil {
		return "", nil, err
	}
	if err := session.Connect(client.Conn(), ""); err != nil {
		session.Close()
		return "", nil, err
	}
	return session.IDs()[""], func() { session.Close() }, nil
}
