// Package buildkit connects to a BuildKit that is not the engine's: at a socket, over TCP, by ssh or in a pod. It knows what a
// connection was lost by, which the errors of its calls do not say. What is built it does not decide.
package buildkit

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
)

// forms are how an address may be written.
const forms = "unix://PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT][/SOCKET] or kube://POD?namespace=NAME"

// Address is where a BuildKit is.
type Address struct {
	text string // as the user wrote it
	*url.URL
}

// Pod is one that a BuildKit runs in. What is "" is decided by who reaches it.
type Pod struct {
	Name, Namespace, Context, Container string
}

// options are what may follow the ? of an address, by its scheme.
func options() map[string][]string {
	return map[string][]string{"unix": nil, "tcp": {"cacert", "cert", "key", "servername"}, "ssh": nil, "kube": {"namespace", "context", "container"}}
}

// Parse reads an address.
func Parse(text string) (*Address, error) {
	wrong := func(why string) error { return fmt.Errorf("--builder is %q: %s", text, why) }
	u, err := url.Parse(text)
	if err != nil {
		return nil, wrong("write " + forms)
	}
	known, isScheme := options()[u.Scheme]
	switch {
	case !isScheme, u.Opaque != "":
		return nil, wrong("write " + forms)
	case u.Scheme == "unix" && (u.Host != "" || u.Path == ""):
		return nil, wrong("the path of a socket is absolute: unix:///run/buildkit/buildkitd.sock")
	case u.Scheme != "unix" && u.Hostname() == "":
		return nil, wrong("it names no host or pod: write " + forms)
	case u.Scheme == "tcp" && u.Port() == "":
		return nil, wrong("it names no port: write tcp://HOST:PORT")
	case u.Scheme == "ssh" && strings.HasPrefix(u.Hostname(), "-"), u.User != nil && u.Scheme != "ssh":
		return nil, wrong("write " + forms)
	case u.Fragment != "":
		return nil, wrong("nothing may follow a #")
	case u.Scheme == "kube" && u.Path != "" || u.Scheme == "tcp" && u.Path != "":
		return nil, wrong(u.Path + " has no meaning: write " + forms)
	}
	if _, has := u.User.Password(); has {
		return nil, fmt.Errorf("--builder %s has a password in it, which ssh does not take: use a key", u.Redacted())
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, wrong("what follows the ? is no list of NAME=VALUE")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, wrong(fmt.Sprintf("%s:// takes no %q", u.Scheme, name))
		case !slices.Contains(known, name):
			return nil, wrong(fmt.Sprintf("%s:// takes no %q, only %s", u.Scheme, name, strings.Join(known, ", ")))
		}
	}
	a := &Address{text, u}
	if u.Scheme == "tcp" && !a.isTLS() && !IsLoopback(u.Host) {
		return nil, fmt.Errorf("--builder %s: what it is lent would go there unencrypted: write tcp://HOST:PORT?cacert=FILE for TLS, ssh://HOST or kube://POD", text)
	}
	if values.Has("cert") != values.Has("key") {
		return nil, wrong("cert and key are files of one certificate: name both")
	}
	return a, nil
}

// String is the address as the user wrote it.
func (a *Address) String() string { return a.text }

// pod is the one of a kube:// address.
func (a *Address) pod() Pod {
	q := a.Query()
	return Pod{a.Hostname(), q.Get("namespace"), q.Get("context"), q.Get("container")}
}

func (a *Address) isTLS() bool { return a.RawQuery != "" }

// tls says whom the other side has to be, and who we are.
func (a *Address) tls() (*tls.Config, error) {
	q := a.Query()
	c := &tls.Config{ServerName: a.Hostname(), NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}
	if name := q.Get("servername"); name != "" {
		c.ServerName = name
	}
	if file := q.Get("cacert"); file != "" {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read the authority's certificate: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s has no certificate in it", file)
		}
	}
	if q.Has("cert") {
		own, err := tls.LoadX509KeyPair(q.Get("cert"), q.Get("key"))
		if err != nil {
			return nil, fmt.Errorf("cannot use the certificate %s with the key %s: %w", q.Get("cert"), q.Get("key"), err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// ssh is the command line that brings us there.
func (a *Address) ssh() []string {
	args := a.login()
	args = append(args, "--", a.Hostname(), "buildctl")
	if a.Path != "" && a.Path != "/" {
		args = append(args, "--addr", quote("unix://"+a.Path)) // a shell reads it there
	}
	return append(args, "dial-stdio")
}

// login are the words of ssh that come before the host.
func (a *Address) login() []string {
	var args []string
	if a.User.Username() != "" {
		args = append(args, "-l", a.User.Username())
	}
	if a.Port() != "" {
		args = append(args, "-p", a.Port())
	}
	return args
}

// quote makes one word of a text for a shell, where it is not one anyway.
func quote(text string) string {
	isPlain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@+,=", r)
	}
	if strings.IndexFunc(text, func(r rune) bool { return !isPlain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// IsLoopback says that a host, with a port or without, is this machine.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
