package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/rootfs"
	"github.com/orlop/orlop/spec"
)

// Fill adds the contents of a project's external secrets and configs to those that its
// caller has sent. All that are missing and that services of needed use, a part of the
// project, are told, each with its place.
func (v *Vault) Fill(p, needed *spec.Project, payloads map[string]*api.Payload) (map[string]*api.Payload, error) {
	if payloads == nil {
		payloads = map[string]*api.Payload{}
	}
	var errs []error
	must := needed.External()
	for _, use := range p.External() {
		content, err := v.Content(Kind(use.Section), use.Name)
		if err != nil && !slices.Contains(must, use) {
			continue
		}
		if err != nil {
			errs = append(errs, missing(p, use, err))
			continue
		}
		payloads[use.Section+"."+use.Key] = &api.Payload{Content: content, Secret: use.Section == string(Secrets)}
	}
	return payloads, errors.Join(errs...)
}

func missing(p *spec.Project, use spec.ExternalUse, err error) error {
	word := Kind(use.Section).Word()
	text := fmt.Sprintf("external %s %s: %v", word, use.Name, err)
	if errors.Is(err, ErrAbsent) {
		text = fmt.Sprintf("external %s %s does not exist: create it with \"orlop %s create %s FILE\", or remove `external: true`", word, use.Name, word, use.Name)
	}
	if place := p.Places.Nearest(use.Section + "." + use.Key + ".external"); place.File != "" {
		return fmt.Errorf("%s: %s", place, text)
	}
	return errors.New(text)
}

// Origins are where the payloads of a project come from that can be had again without
// a command.
func Origins(p *spec.Project) map[string]rootfs.Origin {
	from := map[string]rootfs.Origin{}
	for _, use := range p.External() {
		from[use.Section+"."+use.Key] = rootfs.Origin{Stored: use.Name}
	}
	for name, s := range p.Secrets {
		if s.File != "" {
			from["secrets."+name] = rootfs.Origin{File: s.File}
		}
	}
	for name, c := range p.Configs {
		if c.File != "" || c.Content != "" {
			from["configs."+name] = rootfs.Origin{File: c.File, Content: c.Content}
		}
	}
	return from
}

// Digests are keyed digests of the contents of a project's secrets and configs: they
// tell a change and nothing else.
func Digests(key []byte, project string, payloads map[string]*api.Payload) map[string]string {
	out := map[string]string{}
	for name, payload := range payloads {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(project + "/" + name + "/"))
		mac.Write(payload.Content)
		out[name] = hex.EncodeToString(mac.Sum(nil)[:12])
	}
	return out
}
