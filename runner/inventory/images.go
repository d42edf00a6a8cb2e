package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/supervisor"
)

// ImageUser is a container that is made of an image.
type ImageUser struct{ Container, Project string }

// ImageUsers are the containers that are made of the image of a digest, by name.
func (i *Inventory) ImageUsers(digest string) (users []ImageUser) {
	for _, rec := range usersOf(i.containers(), digest, nil) {
		users = append(users, ImageUser{rec.Name, rec.Project})
	}
	return users
}

// usersOf are those of containers that are made of an image: by its digest, or by one of its names where that is not known.
func usersOf(containers []supervisor.Record, digest string, names []string) []supervisor.Record {
	users := slices.DeleteFunc(slices.Clone(containers), func(rec supervisor.Record) bool {
		if isByName(rec) {
			return !slices.ContainsFunc(names, func(name string) bool { return isNamed(rec, name) })
		}
		return rec.Applied.Image != digest
	})
	slices.SortFunc(users, func(a, b supervisor.Record) int { return strings.Compare(a.Name, b.Name) })
	return users
}

// isByName says that all that is known of a container's image is its name.
func isByName(rec supervisor.Record) bool { return rec.Applied == nil || rec.Applied.Image == "" }

func isNamed(rec supervisor.Record, name string) bool {
	used, err := image.Normalize(rec.Image)
	return err == nil && used == name
}

// UsedError is the error of removing an image that a container is made of.
type UsedError struct{ Image, Container string }

func (e *UsedError) Error() string {
	return fmt.Sprintf("cannot remove image %s: container %s is made of it (remove that first, or use --force)", e.Image, e.Container)
}

// RemoveImage removes the name of an image. Without force, an image that
// containers are made of stays (UsedError), and one that is not here is an error.
func (i *Inventory) RemoveImage(ctx context.Context, ref string, force bool) (isAbsent bool, err error) {
	if err = i.removeImage(ctx, ref, force); force && image.IsAbsent(err) {
		return true, nil
	}
	return false, err
}

func (i *Inventory) removeImage(ctx context.Context, ref string, force bool) error {
	name, err := i.images.NameOf(ctx, ref)
	if err != nil {
		return err
	}
	now, err := i.images.Digest(ctx, name)
	if err != nil {
		return err
	}
	for _, rec := range i.containers() {
		isOf := isByName(rec) || rec.Applied.Image == now // else the name is another image's by now
		if !force && isOf && isNamed(rec, name) {
			return &UsedError{Image: ref, Container: rec.Name}
		}
	}
	return i.images.Remove(ctx, name)
}

// Removed is what a user's removal of an image took away.
type Removed struct {
	Names  []string
	Digest string // of the image that is gone with its last name; "" while it has another, or a container is made of it
}

// Untag removes an image as Docker does: by a name that name, by its ID all of its names. The error is a *UsedError where that would take the
// last one of an image that containers are made of; force takes it all the same, but by the ID that of one that runs.
func (i *Inventory) Untag(ctx context.Context, ref string, force bool) (Removed, error) {
	all, err := i.Removal(ctx, ref, force)
	if _, invalid := image.Normalize(ref); image.IsAbsent(err) && invalid == nil {
		return Removed{}, i.images.Remove(ctx, ref) // what a pull of it has left
	}
	if err != nil {
		return Removed{}, err
	}
	return all.by(func(name string) error { return i.images.Remove(ctx, name) })
}

// Removal is what Untag would take away.
func (i *Inventory) Removal(ctx context.Context, ref string, force bool) (Removed, error) {
	all, digest, isName, err := i.images.Names(ctx, ref)
	if err != nil {
		return Removed{}, err
	}
	users := usersOf(i.containers(), digest, all)
	names, err := untagged(ref, all, isName, users, force)
	if err != nil {
		return Removed{}, err
	}
	out := Removed{Names: names}
	if len(names) == len(all) && len(users) == 0 {
		out.Digest = digest
	}
	return out, nil
}

// by removes it; with an error it is what was removed before that.
func (r Removed) by(remove func(name string) error) (Removed, error) {
	for n, name := range r.Names {
		if err := remove(name); err != nil {
			return Removed{Names: r.Names[:n]}, err
		}
	}
	return r, nil
}

// untagged are the names that a removal takes of all that an image has, the first of which is meant where it is one that is named.
func untagged(ref string, all []string, isName bool, users []supervisor.Record, force bool) ([]string, error) {
	running := slices.IndexFunc(users, func(rec supervisor.Record) bool {
		return rec.State == planner.Running || rec.State == planner.Stopping || rec.State == planner.Restarting
	})
	switch {
	case isName && len(all) > 1:
		if by := slices.IndexFunc(users, func(rec supervisor.Record) bool { return isByName(rec) && isNamed(rec, all[0]) }); by >= 0 && !force {
			return nil, &UsedError{Image: ref, Container: users[by].Name}
		}
		return all[:1], nil
	case !isName && len(all) > 1 && !force:
		return nil, fmt.Errorf("image %s has %d names, %s among them: say which, or use --force for all", ref, len(all), all[0])
	case !isName && running >= 0:
		return nil, fmt.Errorf("cannot remove image %s: container %s is made of it, and runs (stop that first, or remove its names)", ref, users[running].Name)
	case len(users) > 0 && !force:
		return nil, &UsedError{Image: ref, Container: users[0].Name}
	}
	return all, nil
}
