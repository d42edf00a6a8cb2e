package registries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec/userfile"
)

// Docker Hub, and the name that Docker keeps its login under.
const (
	hub    = "docker.io"
	hubKey = "https://index.docker.io/v1/"
)

// HostOf is the registry that a user means, and the key of its login in Docker's config.json.
func HostOf(text string) (host, key string, err error) {
	host = strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "", hub, "index.docker.io", "registry-1.docker.io":
		if host == "" && text != "" {
			return "", "", fmt.Errorf("%q names no registry: write its host, such as registry.example or registry.example:5000", text)
		}
		return hub, hubKey, nil
	}
	if strings.ContainsAny(host, " \t@?#\\") {
		return "", "", fmt.Errorf("%q names no registry: write its host, such as registry.example or registry.example:5000", text)
	}
	return host, host, nil
}

// LoginFlags are those of login.
type LoginFlags struct {
	User, Password string
	FromStdin      bool
}

// Login checks a login at its registry, and keeps it.
func Login(ctx context.Context, inv *cli.Invocation, client *api.Client, registry string, f LoginFlags) error {
	host, key, err := HostOf(registry)
	if err != nil {
		return err
	}
	file, err := ReadConfig(filepath.Join(config.Dir(), config.ConfigFileName))
	if err != nil {
		return err
	}
	a, isKept, err := account(ctx, inv, host, key, f)
	if err != nil {
		return err
	}
	inv.Mask.Add([]byte(a.Password))
	reply, err := client.Registry.CheckLogin(ctx, &api.LoginRequest{Host: host, Username: a.User, Password: a.Password})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	if isKept {
		fmt.Fprintf(inv.Stdout, "logged in at %s already\n", host)
		return nil
	}
	a.IdentityToken = reply.IdentityToken
	helper, err := file.Keep(ctx, key, a)
	if err != nil {
		return fmt.Errorf("the login at %s is right, and cannot be kept: %w", host, err)
	}
	if helper == "" && !inv.IsSilent() {
		what := "the password"
		if a.IdentityToken != "" {
			what = "an identity token"
		}
		fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(fmt.Sprintf(" ! %s is kept in the clear in %s: name a credential helper in it with credsStore to have it kept elsewhere", what, display.Printable(file.Path))))
	}
	fmt.Fprintf(inv.Stdout, "logged in at %s as %s\n", host, display.Printable(a.User))
	return nil
}

// account is the login that the flags give, or that is asked for; without any, the one that is kept.
func account(ctx context.Context, inv *cli.Invocation, host, key string, f LoginFlags) (a Account, isKept bool, err error) {
	a = Account{User: f.User, Password: f.Password}
	if a.User == "" && a.Password == "" && !f.FromStdin {
		kept := host
		if host == hub {
			kept = "registry-1.docker.io" // as BuildKit's credentials have it
		}
		if user, secret, err := builder.Login(ctx, kept); err == nil && secret != "" {
			return Account{User: user, Password: secret}, true, nil
		}
	}
	switch {
	case f.FromStdin && a.User == "":
		return a, false, errors.New("--password-stdin needs a user name: write it with -u")
	case f.FromStdin:
		a.Password, err = passwordFrom(ctx, inv.Stdin)
		return a, false, err
	case a.User != "" && a.Password != "":
		return a, false, nil
	}
	tty, isFile := inv.Stdin.(*os.File)
	if !isFile || !display.IsTerminal(inv.Stdin) || !display.IsTerminal(inv.Stderr) {
		return a, false, fmt.Errorf("a login at %s needs a user name and a password: write -u NAME --password-stdin, and the password to standard input", host)
	}
	if a.User == "" {
		if a.User, err = line(ctx, inv, tty, "User name at "+host+": "); err != nil {
			return a, false, err
		}
		a.User = strings.TrimSpace(a.User)
	}
	if a.Password == "" {
		a.Password, err = hidden(ctx, inv, tty, "Password of "+display.Printable(a.User)+": ")
	}
	if err == nil && (a.User == "" || a.Password == "") {
		err = errors.New("a login needs a user name and a password: nothing was changed")
	}
	return a, false, err
}

// mostPassword is how long a password may be: tokens of cloud services have some thousand characters.
const mostPassword = 64 << 10

// passwordFrom is what standard input has, without the end of its line.
func passwordFrom(ctx context.Context, stdin io.Reader) (string, error) {
	in, done, err := userfile.Interruptible(ctx, stdin)
	if err != nil {
		return "", err
	}
	defer done()
	text, err := io.ReadAll(io.LimitReader(in, mostPassword+1))
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case password == "":
		return "", errors.New("standard input has no password")
	case len(text) > mostPassword:
		return "", fmt.Errorf("standard input has more than the %d bytes that a password may have", mostPassword)
	}
	return password, nil
}

// line asks for a line at a terminal.
func line(ctx context.Context, inv *cli.Invocation, tty *os.File, question string) (string, error) {
	fmt.Fprint(inv.Stderr, question)
	in, done, err := userfile.Interruptible(ctx, tty)
	if err != nil {
		return "", err
	}
	defer done()
	text := make([]byte, 4096) // what a terminal gives at once at most
	n, err := in.Read(text)
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(inv.Stderr)
		return "", err
	}
	return strings.TrimRight(string(text[:n]), "\r\n"), nil
}

// hidden asks for a line that the terminal does not show, and leaves the terminal as it was.
func hidden(ctx context.Context, inv *cli.Invocation, tty *os.File, question string) (string, error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("cannot hide what is typed: %w", err)
	}
	quiet := *before
	quiet.Lflag = quiet.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	quiet.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return "", fmt.Errorf("cannot hide what is typed: %w", err)
	}
	text, err := line(ctx, inv, tty, question)
	if err == nil {
		fmt.Fprintln(inv.Stderr)
	}
	return text, errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before))
}

// Logout forgets a login.
func Logout(ctx context.Context, inv *cli.Invocation, registry string) error {
	host, key, err := HostOf(registry)
	if err != nil {
		return err
	}
	file, err := ReadConfig(filepath.Join(config.Dir(), config.ConfigFileName))
	if err != nil {
		return err
	}
	had, err := file.Forget(ctx, key)
	if err != nil {
		return fmt.Errorf("cannot forget the login at %s: %w", host, err)
	}
	if !had {
		fmt.Fprintf(inv.Stdout, "not logged in at %s\n", host)
		return nil
	}
	fmt.Fprintf(inv.Stdout, "logged out of %s\n", host)
	return nil
}
