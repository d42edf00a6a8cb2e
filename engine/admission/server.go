package admission

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/signature"
	"github.com/orlop/orlop/engine/trust"
	"github.com/orlop/orlop/runner/image"
)

// Server is the API of signatures.
type Server struct {
	api.UnimplementedSignaturesServer
	Gate *Gate
	// Hosts are the registries with the logins that a session of the caller's lends, and those of the settings.
	Hosts func(ctx context.Context, session string) docker.RegistryHosts
	// Doing notes what is being done until done is called.
	Doing func(what string) (done func())
	Agent string // what signatures say made them

	turn turn
}

// turn is had by one at a time. The zero value is nobody's.
type turn struct {
	made sync.Once
	had  chan struct{}
}

// take waits for the turn.
func (t *turn) take(ctx context.Context) (release func(), err error) {
	t.made.Do(func() { t.had = make(chan struct{}, 1) })
	select {
	case t.had <- struct{}{}:
		return func() { <-t.had }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// subject is an image as its registry has it.
type subject struct {
	image.Arrival
	repo *signature.Repository
}

// find looks an image up at its registry, as the given hosts are reached.
func (s *Server) find(ctx context.Context, ref, platform string, hosts docker.RegistryHosts) (*subject, error) {
	name, err := image.Normalize(ref)
	if err != nil {
		return nil, err
	}
	f := &subject{Arrival: image.Arrival{Name: name, Platform: platforms.Default(), Hosts: hosts}}
	if platform != "" {
		p, err := platforms.Parse(platform)
		if err != nil {
			return nil, fmt.Errorf("%q is not a platform: %w", platform, err)
		}
		f.Platform = platforms.OnlyStrict(p)
	}
	if f.repo, err = signature.Open(name, f.Hosts); err != nil {
		return nil, err
	}
	f.Root, err = f.repo.Resolve(ctx, name)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf(`image %s is not in its registry: push it first with "orlop image push"`, ref)
	}
	if err != nil {
		return nil, image.RegistryError("cannot look "+ref+" up in its registry: ", ref, err)
	}
	return f, nil
}

// Sign implements api.SignaturesServer.
func (s *Server) Sign(stream grpc.BidiStreamingServer[api.SignRequest, api.SignReply]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return errors.New("internal error: a signature does not begin with what is signed")
	}
	ctx := stream.Context()
	defer s.Doing("sign " + start.Name)()
	f, err := s.find(ctx, start.Name, start.Platform, signature.Target(s.Hosts(ctx, start.Session)))
	if err != nil {
		return err
	}
	of := f.Root
	if start.Platform != "" {
		if of, err = f.manifest(ctx); err != nil {
			return fmt.Errorf("cannot sign %s: %w", start.Name, err)
		}
	}
	signing, err := s.signing(start, of)
	if err != nil {
		return fmt.Errorf("cannot sign %s: %w", start.Name, err)
	}
	signing.Turn = s.turn.take
	signing.Sign = func(message []byte, algorithm string) ([]byte, error) {
		if err := stream.Send(&api.SignReply{Of: &api.SignReply_ToSign{ToSign: &api.ToSign{Message: message, Algorithm: algorithm}}}); err != nil {
			return nil, err
		}
		next, err := stream.Recv()
		return next.GetSignature(), err
	}
	stored, err := f.repo.Sign(ctx, signing, f.Hosts)
	if err != nil {
		return fmt.Errorf("cannot sign %s: %w", start.Name, err)
	}
	return stream.Send(&api.SignReply{Of: &api.SignReply_Signed{Signed: &api.Signed{Name: f.Name, Digest: of.Digest.String(), Signature: stored.String()}}})
}

// manifest is that of the platform that was asked for.
func (f *subject) manifest(ctx context.Context) (ocispec.Descriptor, error) {
	all := candidates(ctx, f.repo, f.Arrival)
	if len(all) == 1 {
		return f.Root, errors.New("it is no index with an image of that platform")
	}
	return f.repo.Resolve(ctx, f.repo.At(all[1]))
}

// signing is what a request asks for.
func (s *Server) signing(start *api.SignStart, of ocispec.Descriptor) (signature.Signing, error) {
	signing := signature.Signing{Format: signature.Format(start.Format), Of: of, Agent: s.Agent, Now: s.Gate.Now()}
	var err error
	switch signing.Format {
	case signature.Cosign:
		if signing.Public, err = x509.ParsePKIXPublicKey(start.PublicKey); err != nil {
			return signing, errors.New("its public key can't be read")
		}
	case signature.Notation:
		for _, der := range start.Certificates {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return signing, errors.New("a certificate can't be read")
			}
			signing.Certificates = append(signing.Certificates, c)
		}
	default:
		return signing, fmt.Errorf("no such format as %q: there are %s, %s", start.Format, signature.Cosign, signature.Notation)
	}
	return signing, nil
}

// Verify implements api.SignaturesServer.
func (s *Server) Verify(ctx context.Context, r *api.VerifyRequest) (*api.VerifyReply, error) {
	f, err := s.find(ctx, r.Name, r.Platform, s.Hosts(ctx, r.Session))
	if err != nil {
		return nil, err
	}
	if len(r.Locked) > 0 {
		var end func()
		ctx, end = s.Gate.Locked(ctx, nil, r.Locked)
		defer end()
	}
	reply := &api.VerifyReply{Name: f.Name, Digest: f.Root.Digest.String()}
	trusted := &signature.Trusted{}
	if len(r.Keys)+len(r.Certificates) == 0 {
		if trusted, err = s.ask(ctx, f, reply); err != nil {
			return nil, err
		}
	}
	for _, k := range r.Keys {
		if err := trusted.AddKey(k.Name, k.Text); err != nil {
			return nil, err
		}
	}
	for _, c := range r.Certificates {
		if err := trusted.AddCertificates(c.Name, c.Text); err != nil {
			return nil, err
		}
	}
	for _, of := range candidates(ctx, f.repo, f.Arrival) {
		found, err := f.repo.Verify(ctx, of, trusted, s.Gate.Now())
		if err != nil {
			return nil, fmt.Errorf("cannot look for the signatures of %s: %w", r.Name, image.RegistryError("", r.Name, err))
		}
		for _, one := range found {
			reply.Signatures = append(reply.Signatures, shown(of, one))
		}
	}
	return reply, nil
}

func shown(of digest.Digest, s signature.Signature) *api.FoundSignature {
	f := &api.FoundSignature{Format: string(s.Format), Of: of.String(), Stored: s.Stored.String(), Signer: api.Valid(s.Signer)}
	if s.By != nil {
		f.By = s.By.Name
	}
	if s.Why != nil {
		f.Problem = api.Valid(s.Why.Error())
	}
	return f
}

// ask says what the policy says of an image, and whom it trusts.
func (s *Server) ask(ctx context.Context, f *subject, reply *api.VerifyReply) (*signature.Trusted, error) {
	rule, err := s.Gate.Rule(f.Name)
	if err != nil {
		return nil, err
	}
	reply.Rule, reply.Place = string(rule.Require), rule.Place
	if rule.Require != trust.Nothing {
		if _, err := s.Gate.Fetch(ctx, f.Arrival); err != nil {
			reply.Refused = api.Valid(err.Error())
		}
	}
	return rule.Trusted()
}

// Admit implements api.SignaturesServer.
func (s *Server) Admit(ctx context.Context, r *api.AdmitRequest) (*api.AdmitReply, error) {
	name, err := image.Normalize(r.Name)
	if err != nil {
		return nil, err
	}
	root := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(r.Digest)}
	if err := root.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%.100q is not a digest", r.Digest)
	}
	ctx, end := s.Gate.Locked(ctx, nil, map[string]string{r.Name: r.Locked})
	end()
	_, err = s.Gate.Fetch(ctx, image.Arrival{Name: name, Root: root, Platform: platforms.Default(), Hosts: s.Hosts(ctx, r.Session)})
	return &api.AdmitReply{}, err
}

// Trust is what the policy says of an image that is here, by what is known of it.
func (g *Gate) Trust(ctx context.Context, name string, digests ...digest.Digest) *api.ImageTrust {
	t := &api.ImageTrust{}
	if err := g.mayUse(ctx, name, digests...); err != nil {
		t.Refused = api.Valid(err.Error())
	}
	rule, err := g.Rule(name)
	if err != nil {
		return t
	}
	t.Require, t.Place = string(rule.Require), rule.Place
	trusted, err := rule.Trusted()
	if err != nil {
		return t
	}
	for _, d := range digests {
		info, err := g.Content().Info(ctx, d)
		if err != nil {
			continue
		}
		t.MadeHere = t.MadeHere || info.Labels[image.LabelMade] != ""
		for _, a := range trusted.All {
			if has(info, labelSigned, a.ID) && !slices.Contains(t.SignedBy, a.Name) {
				t.SignedBy = append(t.SignedBy, a.Name)
			}
		}
	}
	return t
}
