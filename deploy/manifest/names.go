package manifest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec"
)

const (
	maxName  = 63 // of a label of the DNS
	hashName = 10 // digits of a hash in a name
)

// DNSName is a name as objects and the DNS have it: small letters, digits and "-".
func DNSName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(s))
	s = strings.Trim(s, "-")
	return strings.TrimRight(s[:min(len(s), maxName)], "-")
}

// LabelValue is a text as a label's value may be.
func LabelValue(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, s)
	s = strings.Trim(s, "-_.")
	return strings.TrimRight(s[:min(len(s), maxName)], "-_.")
}

// isLabelValue says that a text may be a label's value as it is.
func isLabelValue(s string) bool { return s == LabelValue(s) }

var qualified = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
})

// isQualified says that a text may be the key of a label or annotation.
func isQualified(key string) bool { return len(key) <= 253+1+maxName && qualified().MatchString(key) }

var subdomain = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
})

// isSubdomain says that a text may be the name of a host, and of most objects.
func isSubdomain(name string) bool { return len(name) <= 253 && subdomain().MatchString(name) }

// contentName is a name that is another for each content.
func contentName(base string, content any) string {
	suffix := "-" + hash(content)[:hashName]
	base = DNSName(base)
	return strings.TrimRight(base[:min(len(base), maxName-len(suffix))], "-") + suffix
}

// shortened is a name with no more than so many characters: one that is longer ends with its hash.
func shortened(name string, most int) string {
	if len(name) <= most {
		return name
	}
	suffix := "-" + hash(name)[:hashName]
	return strings.TrimRight(name[:most-len(suffix)], "-") + suffix
}

// suffixed is a name with a suffix, which is whole also where the name is long.
func suffixed(name, suffix string) string {
	return shortened(DNSName(name), maxName-len(suffix)) + suffix
}

// ServiceName is what a service is called on the cluster. Names of Services begin with a letter.
func ServiceName(name string) string {
	own := DNSName(name)
	if own != "" && own[0] >= '0' && own[0] <= '9' {
		return DNSName("s-" + own)
	}
	return own
}

// checkNames finds what services are called on the cluster.
func (b *build) checkNames() {
	taken := map[string]string{}
	work := map[string]string{}
	for name := range b.project.Services {
		work[name] = "services." + name
	}
	for _, name := range b.project.ScheduledWork() {
		work[name] = "jobs." + name
	}
	for _, name := range slices.Sorted(maps.Keys(work)) {
		path := work[name]
		own := ServiceName(name)
		b.names[name] = own
		switch {
		case own == "":
			b.refuse(path, fmt.Sprintf("%q can't be a name on Kubernetes", name), "use letters, digits and \"-\"")
		case taken[own] != "":
			b.refuse(path, fmt.Sprintf("%q and %q would both be %q on Kubernetes", taken[own], name, own), "rename one of them")
		case own != name:
			b.warn(path, fmt.Sprintf("it is called %q on Kubernetes, whose names have small letters, digits and \"-\" and begin with a letter", own), "others reach it by that name alone")
		}
		taken[own] = name
	}
}

// fullName is the name of an object that the project shares with nobody: its network, its volume.
func (b *build) fullName(name, path string) string {
	own := DNSName(name)
	if own == "" {
		b.refuse(path, fmt.Sprintf("%q can't be a name on Kubernetes", name), "use letters, digits and \"-\"")
	}
	if kind, _, _ := strings.Cut(path, "."); b.full[kind+"/"+own] != "" && b.full[kind+"/"+own] != path {
		b.refuse(path, fmt.Sprintf("%s and %s would both be %q on Kubernetes", b.full[kind+"/"+own], path, own), "rename one of them")
	} else {
		b.full[kind+"/"+own] = path
	}
	return own
}

// externalName is the name of an object that is there: as it is said, where it can be one.
func (b *build) externalName(name, path string) string {
	if isSubdomain(name) {
		return name
	}
	return b.fullName(name, path)
}

// memory is a size as Kubernetes writes it: 256Mi.
func memory(n spec.Bytes) string {
	units, base := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi"}, int64(1024)
	v := int64(n)
	if v%base != 0 {
		units, base = []string{"", "k", "M", "G", "T", "P"}, 1000
	}
	unit := 0
	for v != 0 && v%base == 0 && unit < len(units)-1 {
		v /= base
		unit++
	}
	return strconv.FormatInt(v, 10) + units[unit]
}

// cores is an amount of processors as Kubernetes writes it: 500m, 2.
func cores(n float64) string {
	const thousandths = 1000
	m := max(int64(n*thousandths+0.5), 1)
	if m%thousandths == 0 {
		return strconv.FormatInt(m/thousandths, 10)
	}
	return strconv.FormatInt(m, 10) + "m"
}

// literal is a text that Kubernetes, which fills in $(NAME), leaves as it is.
func literal(s string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var out strings.Builder
	for i := range len(s) {
		out.WriteByte(s[i])
		if s[i] == '$' && i+1 < len(s) && (s[i+1] == '$' || s[i+1] == '(') {
			out.WriteByte('$')
		}
	}
	return out.String()
}

func literals(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = literal(s)
	}
	return out
}
