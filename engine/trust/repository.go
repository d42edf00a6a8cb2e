package trust

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
)

// One repository has many names: the registry's letters in either case, its port or none where it is the usual one,
// Docker Hub by each of its hosts. Rules and images are compared by one of them.

// hub is the name of Docker Hub, which aliases lead to as well.
const hub = "docker.io"

func aliases() []string {
	return []string{"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
}

// repositoryOf is the repository of an image by the name that it is compared by.
func repositoryOf(named reference.Named) string {
	host, path := registryOf(reference.Domain(named)), reference.Path(named)
	if host == hub && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return host + "/" + path
}

// registryOf is a registry by the name that it is compared by. Its ports of https and of http, which a registry may be
// set to be asked by, count as none.
func registryOf(host string) string {
	host = strings.ToLower(host)
	name, port := host, ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	}
	if n, err := strconv.Atoi(port); err == nil {
		port = strconv.Itoa(n)
	}
	if port == "443" || port == "80" {
		port = ""
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if addr, err := netip.ParseAddr(name); err == nil {
		name = addr.Unmap().String()
	}
	if slices.Contains(aliases(), name) {
		name = hub
	}
	switch {
	case port != "":
		return net.JoinHostPort(name, port)
	case strings.Contains(name, ":"):
		return "[" + name + "]"
	}
	return name
}

// normalize is a pattern as it is compared: a repository by its full name, or all below a path, which ends in "/".
func normalize(pattern string) (string, error) {
	if pattern == every {
		return "", nil
	}
	prefix, isPrefix := strings.CutSuffix(pattern, "/*")
	if strings.Contains(prefix, "*") {
		return "", errors.New(`a "*" stands at the end alone, behind a "/": REGISTRY/* or REGISTRY/PATH/*`)
	}
	if !isPrefix {
		named, err := reference.ParseNormalizedNamed(prefix)
		if err != nil {
			return "", fmt.Errorf("it is not the name of a repository: %w", err)
		}
		if !reference.IsNameOnly(named) {
			return "", errors.New("it is the name of one image: rules are for repositories, which have no tag and no digest")
		}
		return repositoryOf(named), nil
	}
	host, path, hasPath := strings.Cut(prefix, "/")
	if !isHost(host) {
		return "", errors.New("it does not begin with a registry, such as docker.io/")
	}
	const below = "x" // some repository that the pattern is for
	named, err := reference.ParseNormalizedNamed(prefix + "/" + below)
	if err != nil {
		return "", fmt.Errorf("it is not the name of a registry, or of a path there: %w", err)
	}
	if !hasPath {
		return registryOf(reference.Domain(named)) + "/", nil
	}
	return registryOf(reference.Domain(named)) + "/" + path + "/", nil
}

// isHost says whether the first part of a name is a registry, as in references.
func isHost(part string) bool {
	return strings.ContainsAny(part, ".:") || part == "localhost" || strings.ToLower(part) != part
}
