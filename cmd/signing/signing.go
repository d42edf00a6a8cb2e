package signing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/remote"
	"github.com/orlop/orlop/spec/userfile"
)

// Verbs are the verbs about signatures of images.
type Verbs struct {
	Of func() *cli.Invocation // known once the flags are read
}

// Commands are the verbs of "image".
func (v *Verbs) Commands() []*cobra.Command { return []*cobra.Command{v.sign(), v.verify()} }

func (v *Verbs) sign() *cobra.Command {
	var key, certificate, format, platform string
	c := &cobra.Command{
		Use: "sign IMAGE --key FILE", Short: "Sign an image in its registry",
		Long: "Sign an image in its registry with a key on disk: what its name points to there now, an index as a whole. The signature lies beside it, in\n" +
			"the format of cosign, or with --format notation in that of the Notary Project, which needs the key's certificate. A key that cosign has\n" +
			"encrypted is opened with " + PasswordVariable + ". The key is used by this command alone; the engine is not told it.",
		Example: "  orlop image push registry.example/api:2 && orlop image sign registry.example/api:2 --key cosign.key\n" +
			"  orlop image sign --format notation --key signer.key --certificate signer.crt registry.example/api:2",
		Args: cobra.MatchAll(cli.AtLeast(1, "an image"), cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			start := &api.SignStart{Name: args[0], Format: format, Platform: platform}
			signer, err := v.prepare(start, key, certificate)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.lend(ctx, client, func(session string) error {
					start.Session = session
					return v.signed(ctx, client, start, signer)
				})
			})
		},
	}
	c.Flags().StringVar(&key, "key", "", "`file` of the private key, in PEM")
	c.Flags().StringVar(&certificate, "certificate", "", "`file` of the key's certificate in PEM, with those that it is signed by behind it (with --format notation)")
	c.Flags().StringVar(&format, "format", formatCosign, "format of the signature: cosign or notation")
	c.Flags().StringVar(&platform, "platform", "", "sign the image of one `platform` of an index, such as linux/arm64, in place of the index")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{formatCosign, formatNotation}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// The formats that are written.
const (
	formatCosign   = "cosign"
	formatNotation = "notation"
)

// prepare reads what a signature is made with.
func (v *Verbs) prepare(start *api.SignStart, key, certificate string) (crypto.Signer, error) {
	switch {
	case start.Format != formatCosign && start.Format != formatNotation:
		return nil, fmt.Errorf("no such format as %q: there are %s, %s", start.Format, formatCosign, formatNotation)
	case key == "":
		return nil, errors.New("a signature needs a private key: name its file with --key; cosign generate-key-pair, or openssl ecparam -name prime256v1 -genkey -noout, make one")
	case start.Format == formatNotation && certificate == "":
		return nil, errors.New("a signature of notation needs the key's certificate: name its file with --certificate")
	case start.Format == formatCosign && certificate != "":
		return nil, errors.New("--certificate goes with --format notation: signatures of cosign are verified by the public key")
	}
	signer, err := ReadKey(key, passwordOf(v.Of().Env))
	if err != nil {
		return nil, err
	}
	if start.Format == formatCosign {
		start.PublicKey, err = x509.MarshalPKIXPublicKey(signer.Public())
		return signer, err
	}
	if start.Certificates, err = ReadCertificates(certificate); err != nil {
		return nil, err
	}
	own, err := x509.ParseCertificate(start.Certificates[0])
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate %s: %w", certificate, err)
	}
	if same, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(own.PublicKey) {
		return nil, fmt.Errorf("%s is not the certificate of the key %s: its first one must be", certificate, key)
	}
	return signer, nil
}

// signed signs the one message of the image that the engine sends, and waits until the signature is in the registry.
func (v *Verbs) signed(ctx context.Context, client *api.Client, start *api.SignStart, signer crypto.Signer) error {
	stream, err := client.Signature.Sign(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if err := stream.Send(&api.SignRequest{Of: &api.SignRequest_Start{Start: start}}); err != nil && !errors.Is(err, io.EOF) {
		return cli.Cause(ctx, err)
	}
	var signs digest.Digest // what has been signed
	for {
		reply, err := stream.Recv()
		if err != nil {
			return cli.Cause(ctx, err)
		}
		if done := reply.GetSigned(); done != nil {
			if signs == "" { // by this key, so that none was asked for
				fmt.Fprintf(v.Of().Stdout, "already signed %s@%s\n", display.Printable(done.Name), display.Printable(done.Digest))
				return stream.CloseSend()
			}
			if done.Digest != signs.String() {
				return fmt.Errorf("cannot tell that %s is signed: the engine says so of %s, and what was signed is %q", start.Name, done.Digest, signs)
			}
			fmt.Fprintf(v.Of().Stdout, "signed %s@%s\n", display.Printable(done.Name), done.Digest)
			return stream.CloseSend()
		}
		if signs != "" {
			return fmt.Errorf("cannot sign %s: the engine asks for a second signature, and one is what was asked for", start.Name)
		}
		if signs, err = said(start, reply.GetToSign()); err != nil {
			return fmt.Errorf("cannot sign %s: %w", start.Name, err)
		}
		v.Of().SayNotice(fmt.Sprintf("signing %s, which is %s", start.Name, signs))
		raw, err := Sign(signer, reply.GetToSign().GetMessage(), reply.GetToSign().GetAlgorithm())
		if err != nil {
			return fmt.Errorf("cannot sign %s: %w", start.Name, err)
		}
		if err := stream.Send(&api.SignRequest{Of: &api.SignRequest_Signature{Signature: raw}}); err != nil && !errors.Is(err, io.EOF) {
			return cli.Cause(ctx, err)
		}
	}
}

// lend calls f with a session that lends the caller's logins.
func (v *Verbs) lend(ctx context.Context, client *api.Client, f func(session string) error) error {
	session, end, err := v.Of().LendLogins(ctx, client)
	if err != nil {
		return err
	}
	defer end()
	return f(session)
}

// verifyFlags are those of verify.
type verifyFlags struct {
	keys, certificates []string
	platform, format   string
}

func (v *Verbs) verify() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use: "verify IMAGE", Short: "Show the signatures that an image has in its registry, and who has made them",
		Long: "Show the signatures that an image has in its registry: of what its name points to there, and of the image of this machine's platform in it. Those\n" +
			"that the given keys and certificates verify are marked; without any, it is those of the engine's policy, which is also asked whether it admits\n" +
			"the image, with the orlop.lock of the directory. The exit code is 1 if no signature is verified where one is asked for, or if it is not admitted.",
		Example: "  orlop image verify registry.example/api:2\n  orlop image verify --key cosign.pub --format json registry.example/api:2",
		Args:    cobra.MatchAll(cli.AtLeast(1, "an image"), cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if f.format != "table" && f.format != "json" {
				return fmt.Errorf("no such format as %q: there are table, json", f.format)
			}
			req := &api.VerifyRequest{Name: args[0], Platform: f.platform}
			var err error
			if req.Keys, err = read(f.keys); err != nil {
				return err
			}
			if req.Certificates, err = read(f.certificates); err != nil {
				return err
			}
			if req.Locked, _, err = remote.Images(v.Of().WorkingDir()); err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.lend(ctx, client, func(session string) error {
					req.Session = session
					reply, err := client.Signature.Verify(ctx, req)
					if err != nil {
						return err
					}
					return v.tell(reply, f.format)
				})
			})
		},
	}
	c.Flags().StringArrayVar(&f.keys, "key", nil, "`file` of a public key in PEM that signatures are to be of; may be given again")
	c.Flags().StringArrayVar(&f.certificates, "certificate", nil, "`file` of certificates in PEM that signatures are to be of; may be given again")
	c.Flags().StringVar(&f.platform, "platform", "", "look at the image of another `platform` in an index")
	c.Flags().StringVar(&f.format, "format", "table", "table or json")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

func read(files []string) (texts []*api.NamedText, err error) {
	for _, name := range files {
		text, err := userfile.Read(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read a key or certificate: %w", err)
		}
		texts = append(texts, &api.NamedText{Name: name, Text: text})
	}
	return texts, nil
}

// document is what is known of an image's signatures, as "--format json" prints it.
type document struct {
	Name       string
	Digest     string
	Signatures []line
	Rule       string `json:",omitempty"`
	Place      string `json:",omitempty"`
	Refused    string `json:",omitempty"`
}

type line struct {
	Format  string
	Of      string
	Stored  string
	By      string `json:",omitempty"`
	Signer  string `json:",omitempty"`
	Problem string `json:",omitempty"`
}

func (v *Verbs) tell(r *api.VerifyReply, format string) error {
	d, verified := document{Name: r.Name, Digest: r.Digest, Rule: r.Rule, Place: r.Place, Refused: r.Refused, Signatures: []line{}}, 0
	for _, s := range r.Signatures {
		d.Signatures = append(d.Signatures, line{s.Format, s.Of, s.Stored, s.By, s.Signer, s.Problem})
		if s.By != "" {
			verified++
		}
	}
	if format == "json" {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(d); err != nil {
			return err
		}
		_, _ = v.Of().Stdout.Write(text.Bytes())
	} else {
		v.table(d)
	}
	switch {
	case r.Refused != "":
		return errors.New(r.Refused)
	case r.Rule == "pinned": // which it is
		return nil
	case verified == 0 && r.Rule != "" && r.Rule != "signed-by":
		return fmt.Errorf("no signature of %s is verified: the policy names no key for it: name one with --key or --certificate", r.Name)
	case verified == 0:
		return fmt.Errorf("no signature of %s is by a key or certificate that was named", r.Name)
	}
	return nil
}

func (v *Verbs) table(d document) {
	out := v.Of().Stdout
	fmt.Fprintf(out, "%s@%s\n", display.Printable(d.Name), d.Digest)
	if d.Place != "" {
		fmt.Fprintf(out, "policy: %s (%s)\n", d.Rule, display.Printable(d.Place))
	}
	if len(d.Signatures) == 0 {
		fmt.Fprintln(out, "no signatures")
		return
	}
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "FORMAT\tOF\tVERIFIED BY\tSIGNER\tPROBLEM")
	for _, s := range d.Signatures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Format, display.ShortDigest(s.Of), orDash(s.By), orDash(s.Signer), orDash(s.Problem))
	}
	_ = t.Flush() // as of all that is printed
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return display.Printable(text)
}
