package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// nameServer is where the name server of a container's sandbox answers.
const nameServer = "127.0.0.11"

// resolvConf is what a resolv.conf(5) says.
type resolvConf struct {
	servers, search, options []string
}

// resolvConf is the container's resolv.conf. Its service's own resolvers stand in it
// only where no name server of ours asks them.
func (e *Etc) resolvConf() (string, error) {
	s, c := e.Service, resolvConf{}
	switch e.networkMode() {
	case "host":
		b, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if len(s.DNS)+len(s.DNSSearch)+len(s.DNSOpt) == 0 {
			return string(b), nil
		}
		c = parseResolvConf(string(b))
		c.override(s)
	case "none":
		c.override(s)
	default:
		if e.Owner != nil {
			c.override(e.Owner)
		}
		c.override(s)
		c.servers = []string{nameServer}
		if !slices.ContainsFunc(c.options, func(o string) bool { return strings.HasPrefix(o, "ndots:") }) {
			c.options = append(slices.Clone(c.options), "ndots:0")
		}
	}
	return c.String(), nil
}

// override takes what a service says in the place of what was.
func (c *resolvConf) override(s *spec.Service) {
	for _, part := range []struct {
		have *[]string
		own  []string
	}{{&c.servers, s.DNS}, {&c.search, s.DNSSearch}, {&c.options, s.DNSOpt}} {
		if len(part.own) > 0 {
			*part.have = part.own
		}
	}
}

func parseResolvConf(text string) (c resolvConf) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			c.servers = append(c.servers, words[1])
		case "search", "domain": // the last one counts
			c.search = words[1:]
		case "options":
			c.options = append(c.options, words[1:]...)
		}
	}
	return c
}

// String is the file. A search list of "." alone is none, as Docker has it.
func (c *resolvConf) String() string {
	var b strings.Builder
	for _, server := range c.servers {
		b.WriteString("nameserver " + server + "\n")
	}
	if len(c.search) > 0 && !slices.Equal(c.search, []string{"."}) {
		b.WriteString("search " + strings.Join(c.search, " ") + "\n")
	}
	if len(c.options) > 0 {
		b.WriteString("options " + strings.Join(c.options, " ") + "\n")
	}
	return b.String()
}
