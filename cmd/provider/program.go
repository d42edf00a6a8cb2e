package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// pluginDirs are where Docker's command has its plugins, beside that of the user.
var pluginDirs = []string{"/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"}

// find is the path of a provider's program: a plugin of Docker's command, which is
// called docker-NAME, or a program of the caller's PATH.
func (w *World) find(name string) (string, error) {
	if strings.ContainsRune(name, '/') {
		return "", fmt.Errorf("provider %q is a path: it must be the name of a program", name)
	}
	if path := w.plugin(name); path != "" {
		return path, nil
	}
	for _, dir := range filepath.SplitList(w.Env["PATH"]) {
		if path := filepath.Join(dir, name); filepath.IsAbs(path) && isProgram(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in PATH, and no plugin docker-%s: install the provider, or correct type", name, name)
}

// plugin is the path of a plugin, "" if there is none.
func (w *World) plugin(name string) string {
	dirs := pluginDirs
	switch {
	case w.Env["DOCKER_CONFIG"] != "":
		dirs = append([]string{filepath.Join(w.Env["DOCKER_CONFIG"], "cli-plugins")}, dirs...)
	case w.Env["HOME"] != "":
		dirs = append([]string{filepath.Join(w.Env["HOME"], ".docker/cli-plugins")}, dirs...)
	}
	for _, dir := range dirs {
		if path := filepath.Join(dir, "docker-"+name); isProgram(path) {
			return path
		}
	}
	return ""
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// parameters are what a verb of a provider takes.
type parameters struct {
	Parameters []struct {
		Name     string `json:"name"`
		Required bool   `json:"required"`
	} `json:"parameters"`
}

func (p *parameters) has(name string) bool {
	for _, known := range p.Parameters {
		if known.Name == name {
			return true
		}
	}
	return false
}

// lacks is an error that names an option that must be given.
func (p *parameters) lacks(options map[string][]string) error {
	for _, known := range p.Parameters {
		if _, given := options[known.Name]; known.Required && !given {
			return fmt.Errorf("option %q must be given under provider.options", known.Name)
		}
	}
	return nil
}

// metadataTime is how long a provider gets to say what it knows.
const metadataTime = 10 * time.Second

// metadata is what a provider says of its verbs; one that says nothing takes every
// option, and knows no stop.
func (w *World) metadata(ctx context.Context, path string) map[string]parameters {
	ctx, cancel := context.WithTimeout(ctx, metadataTime)
	defer cancel()
	text, err := w.command(ctx, path, "compose", "metadata").Output()
	if err != nil {
		return nil
	}
	var all struct {
		Up   *parameters `json:"up"`
		Down *parameters `json:"down"`
		Stop *parameters `json:"stop"`
		Pull *parameters `json:"pull"`
	}
	if json.Unmarshal(text, &all) != nil {
		return nil
	}
	known := map[string]parameters{}
	for verb, of := range map[string]*parameters{Up: all.Up, Down: all.Down, Stop: all.Stop, Pull: all.Pull} {
		if of != nil {
			known[verb] = *of
		}
	}
	return known
}
