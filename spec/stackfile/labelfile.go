package stackfile

import (
	"cmp"
	"fmt"
	"os"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
)

// notes takes down which files are read that a list names.
func (l *loader) notes(files *tree.Node, path string) {
	if files == nil {
		return
	}
	for i, f := range files.Items {
		if f.Kind == tree.MapNode {
			f = f.Value("path")
		}
		if f != nil && f.Kind == tree.ScalarNode {
			l.note(tree.Indexed(path, i), f.Text, f.At)
		}
	}
}

// note takes down that a file is read which is named at a path.
func (l *loader) note(path, file string, at spec.Place) {
	if l.readFiles == nil {
		l.readFiles, l.readPlaces = map[string]string{}, map[string]spec.Place{}
	}
	l.readFiles[path], l.readPlaces[path] = file, at
}

// noteVariables takes down which environment files an entry of include has read. Files
// that are included have entries of the same number: theirs are named with their file.
func (l *loader) noteVariables(src *source, item *tree.Node, files []string, path string) {
	given := item.Value("env_file")
	for i, file := range files {
		if file == os.DevNull {
			continue // there is nothing to read
		}
		at, place := path+".env_file", item.At
		if given != nil {
			at, place = tree.Indexed(at, i), given.Items[i].At
		}
		if other, ok := l.readFiles[at]; ok && other != file {
			at = l.unread("in " + src.name + ": " + at)
		}
		l.note(at, file, place)
	}
}

// unread is a name for a place that no file was read from yet.
func (l *loader) unread(at string) string {
	name := at
	for n := 2; ; n++ {
		if _, taken := l.readFiles[name]; !taken {
			return name
		}
		name = fmt.Sprintf("%s (%d)", at, n)
	}
}

// serviceLabels merges the label_file entries of a service below its labels.
func (l *loader) serviceLabels(service *tree.Node, path string) {
	files := service.Value("label_file")
	l.notes(files, path+".label_file")
	if files == nil || l.opts.SkipPayloads || l.opts.ImagesOnly {
		return
	}
	values, from := map[string]string{}, map[string]*tree.Node{}
	var names []string
	none := func(string) (string, bool) { return "", false }
	for i, f := range files.Items {
		if f.Kind != tree.ScalarNode {
			continue
		}
		at := tree.Indexed(path+".label_file", i)
		data, err := l.readFile(f.Text)
		if err != nil {
			l.Fail(f, at, "cannot read "+cmp.Or(f.Raw(), f.Text)+": "+userfile.Cause(err), "create it, or remove it from label_file")
			continue
		}
		read := l.readEnv(f.Text, data, false, values, none)
		for _, problem := range read.Problems {
			l.envFileMistake(f.Text, at, problem)
		}
		for _, name := range read.Names {
			if from[name] == nil {
				names = append(names, name)
			}
			from[name] = f.MovedTo(l.display(f.Text), read.Places[name])
		}
	}
	given := service.Value("labels")
	if given == nil {
		given = service.Mapping()
		service.Set(service.With("labels", given))
	}
	if given.Kind == tree.MapNode {
		given.LayBelow(names, from, values)
	}
}
