// Command sbom writes what programs are made of, as an SPDX 2.3 document: the
// modules that Go has noted in them.
//
//	go run ./sbom -name orlop -version v1 bin/orlop bin/orlopd > orlop.spdx.json
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	name := flag.String("name", "orlop", "of what is described")
	version := flag.String("version", "dev", "of what is described")
	flag.Parse()
	if err := run(os.Stdout, *name, *version, os.Getenv("SOURCE_DATE_EPOCH"), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// document and what follows are the parts of SPDX 2.3 that are used.
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []pkg          `json:"packages"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type pkg struct {
	ID       string     `json:"SPDXID"`
	Name     string     `json:"name"`
	Version  string     `json:"versionInfo,omitempty"`
	Location string     `json:"downloadLocation"`
	Analyzed bool       `json:"filesAnalyzed"`
	Refs     []external `json:"externalRefs,omitempty"`
}

type external struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	To   string `json:"relatedSpdxElement"`
	Type string `json:"relationshipType"`
}

// run describes the programs. epoch is the time of the document in seconds since
// 1970, so that the same source gives the same document; "" is now.
func run(out io.Writer, name, version, epoch string, programs []string) error {
	created := time.Now()
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return fmt.Errorf("SOURCE_DATE_EPOCH is %q: it must be a number of seconds", epoch)
		}
		created = time.Unix(seconds, 0)
	}
	doc := document{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: name + "-" + version,
		Namespace: "https://github.com/orlop/orlop/spdx/" + name + "-" + version,
		Creation:  creation{created.UTC().Format(time.RFC3339), []string{"Tool: orlop-sbom"}},
	}
	seen := map[string]bool{}
	for _, path := range programs {
		if err := doc.add(path, version, seen); err != nil {
			return err
		}
	}
	slices.SortFunc(doc.Packages, func(a, b pkg) int { return strings.Compare(a.ID, b.ID) })
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// add describes a program and its modules.
func (d *document) add(path, version string, seen map[string]bool) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read what %s is made of: %w", path, err)
	}
	program := pkg{ID: "SPDXRef-program-" + idOf(filepath.Base(path)), Name: filepath.Base(path), Version: version, Location: "NOASSERTION"}
	d.Packages = append(d.Packages, program)
	d.Relationships = append(d.Relationships, relationship{d.ID, program.ID, "DESCRIBES"})
	contain := func(name, version string) {
		p := pkg{
			ID: "SPDXRef-module-" + idOf(name+"-"+version), Name: name, Version: version, Location: "NOASSERTION",
			Refs: []external{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + name + "@" + version}},
		}
		if !seen[p.ID] {
			seen[p.ID] = true
			d.Packages = append(d.Packages, p)
		}
		d.Relationships = append(d.Relationships, relationship{program.ID, p.ID, "CONTAINS"})
	}
	contain("stdlib", strings.TrimPrefix(info.GoVersion, "go"))
	if info.Main.Path != "" && info.Main.Version != "(devel)" && info.Main.Version != "" {
		contain(info.Main.Path, info.Main.Version)
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if strings.HasPrefix(m.Path, ".") { // a module of this repository: a part of the program
			continue
		}
		contain(m.Path, m.Version)
	}
	return nil
}

// idOf is a name with what SPDX allows in an identifier.
func idOf(name string) string {
	return regexp.MustCompile(`[^A-Za-z0-9.-]`).ReplaceAllString(name, "-")
}
