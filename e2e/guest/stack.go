package main

import (
	"embed"
	"io/fs"
)

//go:embed stacks
var stacks embed.FS

// files are the stacks of the guests: each below /stacks.
func files() (map[string]string, error) {
	all := map[string]string{}
	err := fs.WalkDir(stacks, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := stacks.ReadFile(path)
		all["/"+path] = string(text)
		return err
	})
	return all, err
}
