// Command images makes base images from what a Debian machine has at hand: busybox from its static binary, debian from
// packages, golang from the machine's own Go on top of that. It is for machines that reach no image registry.
// It writes OCI archives that any importer reads, under the names that stack files use. It is a tool of the source tree
// and no part of the product: nothing may import it.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// defaultEpoch is the newest time that a file in an image may carry when SOURCE_DATE_EPOCH says nothing:
// 2026-01-01. With it, the same inputs give the same digests.
const defaultEpoch = 1767225600

func main() {
	dir := flag.String("dir", filepath.Join(".cache", "images"), "where the archives and their layers are kept")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := makeAll(ctx, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

// makeAll brings every archive under dir up to date.
func makeAll(ctx context.Context, dir string) error {
	epoch, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	kitchen := kitchen{dir: dir, epoch: epoch}
	if err := os.MkdirAll(kitchen.layerDir(), 0o755); err != nil {
		return err
	}
	images, err := recipes(ctx)
	if err != nil {
		return err
	}
	for _, img := range images {
		if err := kitchen.make(ctx, img); err != nil {
			return fmt.Errorf("cannot make %s: %w", img.repository, err)
		}
	}
	return kitchen.sweep(images)
}

func sourceDate(value string) (time.Time, error) {
	if value == "" {
		return time.Unix(defaultEpoch, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH must be seconds since 1970, not %q", value)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// An image says what one archive holds and under which names.
type image struct {
	repository string // as in a stack file: "debian"
	tags       []string
	layers     []layerRecipe // lowest first
	config     imageConfig
}

// A layerRecipe makes one layer. Two recipes with the same name and inputs make the same layer, and it is made once.
type layerRecipe struct {
	name   string
	inputs string // all that decides the content
	write  func(ctx context.Context, out *layerWriter) error
}

// A kitchen makes images and remembers what it has made, in one directory.
type kitchen struct {
	dir   string
	epoch time.Time
}

func (k kitchen) layerDir() string { return filepath.Join(k.dir, "layers") }

// make writes the archive of img unless it is there already, from the same inputs.
func (k kitchen) make(ctx context.Context, img image) error {
	archive := filepath.Join(k.dir, img.repository+".tar")
	stamp := archive + ".inputs"
	want := k.fingerprint(img)
	if have, err := os.ReadFile(stamp); err == nil && string(have) == want && exists(archive) {
		fmt.Printf("images: %s is up to date\n", archive)
		return nil
	}
	start := time.Now()
	var layers []layer
	for _, recipe := range img.layers {
		made, err := k.layer(ctx, recipe)
		if err != nil {
			return err
		}
		layers = append(layers, made)
	}
	_ = os.Remove(stamp) // an archive without a stamp is made again: nothing half-written is taken for whole
	if err := writeFile(archive, func(f *os.File) error { return writeArchive(f, img, layers, k.epoch) }); err != nil {
		return err
	}
	if err := os.WriteFile(stamp, []byte(want), 0o644); err != nil {
		return err
	}
	fmt.Printf("images: made %s (%s:{%s}) in %.1f s\n", archive, img.repository, strings.Join(img.tags, ","),
		time.Since(start).Seconds())
	return nil
}

// layer returns the layer of a recipe, from the cache when it was made from the same inputs before.
func (k kitchen) layer(ctx context.Context, recipe layerRecipe) (layer, error) {
	base := k.layerPath(recipe)
	made := layer{path: base + ".tar.gz"}
	if text, err := os.ReadFile(base + ".json"); err == nil && exists(made.path) && json.Unmarshal(text, &made) == nil {
		return made, nil
	}
	fmt.Printf("images: making layer %s ...\n", recipe.name)
	err := writeFile(made.path, func(f *os.File) error {
		out := newLayerWriter(f, k.epoch)
		if err := recipe.write(ctx, out); err != nil {
			return err
		}
		facts, err := out.close()
		made.Digest, made.DiffID, made.Size = facts.Digest, facts.DiffID, facts.Size
		return err
	})
	if err != nil {
		return layer{}, fmt.Errorf("layer %s: %w", recipe.name, err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		return layer{}, err
	}
	return made, os.WriteFile(base+".json", text, 0o644)
}

// layerPath returns where a layer is kept, without the endings of its two files.
func (k kitchen) layerPath(recipe layerRecipe) string {
	sum := sha256.Sum256([]byte(recipe.inputs + k.epoch.String() + runtime.GOARCH))
	return filepath.Join(k.layerDir(), fmt.Sprintf("%s-%x", recipe.name, sum[:8]))
}

// sweep removes the layers that no image has any more.
func (k kitchen) sweep(images []image) error {
	used := map[string]bool{}
	for _, img := range images {
		for _, recipe := range img.layers {
			used[k.layerPath(recipe)+".tar.gz"], used[k.layerPath(recipe)+".json"] = true, true
		}
	}
	kept, err := filepath.Glob(filepath.Join(k.layerDir(), "*"))
	if err != nil {
		return err
	}
	for _, path := range kept {
		if !used[path] {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// fingerprint tells one state of an image's inputs from another.
func (k kitchen) fingerprint(img image) string {
	h := sha256.New()
	config, _ := json.Marshal(img.config) // strings, slices and maps always marshal
	fmt.Fprintf(h, "%s %q %s %d %s\n", img.repository, img.tags, config, k.epoch.Unix(), runtime.GOARCH)
	for _, recipe := range img.layers {
		fmt.Fprintf(h, "%s %q\n", recipe.name, recipe.inputs)
	}
	return fmt.Sprintf("%x\n", h.Sum(nil))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeFile writes path by way of a temporary neighbour, so that path is whole or absent.
func writeFile(path string, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once the file has its real name
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
