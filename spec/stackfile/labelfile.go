package stackfile

import "cmp"

// serviceLabels merges the label_file entries of a service below its labels.
func (l *loader) serviceLabels(service *node, path string) {
	files := service.value("label_file")
	if files == nil || l.opts.SkipPayloads || l.opts.ImagesOnly {
		return
	}
	values, from := map[string]string{}, map[string]*node{}
	var names []string
	none := func(string) (string, bool) { return "", false }
	for i, f := range files.items {
		if f.kind != scalarNode {
			continue
		}
		at := indexed(path+".label_file", i)
		data, err := l.readFile(f.text)
		if err != nil {
			l.fail(f, at, "cannot read "+cmp.Or(f.raw, f.text)+": "+cause(err), "create it, or remove it from label_file")
			continue
		}
		read := l.readEnv(f.text, data, false, values, none)
		if read.problem != nil {
			l.envFileMistake(f.text, read.problem)
		}
		for _, name := range read.names {
			if from[name] == nil {
				names = append(names, name)
			}
			from[name] = f
		}
	}
	given := service.value("labels")
	if given == nil {
		given = service.mapping()
		service.set(service.with("labels", given))
	}
	if given.kind == mapNode {
		given.layBelow(names, from, values)
	}
}
