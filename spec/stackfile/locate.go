package stackfile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/fetched"
	"github.com/orlop/orlop/spec/userfile"
)

// Variables that say what is loaded, in the environment or in an environment file.
const (
	composeFile      = "COMPOSE_FILE"
	composeSeparator = "COMPOSE_PATH_SEPARATOR"
	composeEnvFiles  = "COMPOSE_ENV_FILES"        // in the environment only
	composeNoEnvFile = "COMPOSE_DISABLE_ENV_FILE" // in the environment only
)

// Variables are those of a load, found without reading a stack file: the
// caller's environment over the environment files, as far as these can be read.
func Variables(ctx context.Context, opts Options) map[string]string {
	l := newLoader(opts)
	if _, err := l.locate(ctx); err != nil && l.env == nil {
		return maps.Clone(opts.Environ)
	}
	return l.env
}

// begin resolves the variables that decide which files are read: the
// environment files that are given, or the .env of the directory that the
// search for a stack file starts from.
func (l *loader) begin(ctx context.Context) error {
	dir, err := filepath.Abs(l.opts.Dir)
	if err != nil {
		return fmt.Errorf("cannot tell the working directory: %w", err)
	}
	l.dir = dir
	l.env, l.origins = maps.Clone(l.opts.Environ), map[string]string{}
	if l.env == nil {
		l.env = map[string]string{}
	}
	l.given = map[string]bool{}
	for _, f := range slices.Concat(l.envFiles(), l.opts.Files) {
		l.given[l.within(f)] = true
	}
	return l.environment(ctx, l.startDir(l.opts.Files))
}

// locate resolves the variables, which files are read and where the project's
// directory is. A stack file that stands elsewhere has a .env beside it too,
// for what is not set before.
func (l *loader) locate(ctx context.Context) ([]string, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	files := l.opts.Files
	if len(files) == 0 {
		files = l.composeFile()
	}
	if len(files) == 0 {
		var err error
		if files, err = userfile.FindStack(l.startDir(nil)); err != nil {
			return nil, err
		}
		l.unreadBeside(files[0])
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f
		if f != "-" && !l.isRemote(f, l.dir) {
			paths[i] = l.within(f)
		}
	}
	l.projectDir = l.startDir(paths)
	if err := checkPath(l.projectDir); err != nil {
		return nil, err
	}
	if len(l.envFiles()) == 0 && !spec.IsTrue(l.opts.Environ[composeNoEnvFile]) {
		l.note(".env", filepath.Join(l.projectDir, ".env"), spec.Place{}) // the stack may bring one that leads elsewhere
	}
	if l.projectDir == l.startDir(l.opts.Files) || len(l.envFiles()) > 0 {
		return paths, nil
	}
	return paths, l.environment(ctx, l.projectDir)
}

// startDir is the directory that paths start from: what the caller says, or
// that of the first file, or the working directory.
func (l *loader) startDir(files []string) string {
	if l.opts.ProjectDirectory != "" {
		return l.within(l.opts.ProjectDirectory)
	}
	if i := slices.IndexFunc(files, func(f string) bool { return f != "-" }); i >= 0 && !l.isRemote(files[i], l.dir) {
		return filepath.Dir(l.within(files[i]))
	}
	return l.dir
}

// composeFile are the files that COMPOSE_FILE names. Names of an environment
// file start from that file; what is not there is looked for in the working
// directory.
func (l *loader) composeFile() []string {
	separator := cmp.Or(l.env[composeSeparator], string(os.PathListSeparator))
	files := fieldsOf(l.env[composeFile], separator)
	origin := l.origins[composeFile]
	if len(files) == 0 {
		return nil
	}
	l.chosenBy = composeFile
	if origin == "" {
		for _, f := range files {
			l.given[l.within(f)] = true
		}
		return files
	}
	l.chosenBy += " of " + l.display(origin)
	for i, f := range files {
		beside := fetched.Within(filepath.Dir(origin), f)
		if f != "-" && !l.isRemote(f, filepath.Dir(origin)) && (userfile.IsFile(beside) || !userfile.IsFile(l.within(f))) {
			files[i] = beside
		}
	}
	return files
}

// named adds to an error about a stack file who chose it.
func (l *loader) named(err error) error {
	if l.chosenBy == "" {
		return err
	}
	return fmt.Errorf("%w (named by %s)", err, l.chosenBy)
}

// envFiles are the environment files that the caller names.
func (l *loader) envFiles() []string {
	if len(l.opts.EnvFiles) > 0 {
		return l.opts.EnvFiles
	}
	return fieldsOf(l.opts.Environ[composeEnvFiles], ",")
}

// environment adds what the environment files say and nobody said before:
// those that are given, else the .env of a directory.
func (l *loader) environment(ctx context.Context, dir string) error {
	files := l.envFiles()
	optional := len(files) == 0
	if optional {
		if spec.IsTrue(l.opts.Environ[composeNoEnvFile]) {
			return nil
		}
		files = []string{filepath.Join(dir, ".env")}
	}
	values, from, err := l.envFileValues(files, optional, func(path string) ([]byte, error) { return l.readGiven(ctx, path) }, l.lookup)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	for name, v := range values {
		if _, ok := l.env[name]; !ok {
			l.env[name], l.origins[name] = v, from[name]
		}
	}
	return nil
}

// fieldsOf splits a list; empty entries are dropped.
func fieldsOf(list, separator string) []string {
	return slices.DeleteFunc(strings.Split(list, separator), func(s string) bool { return strings.TrimSpace(s) == "" })
}

// unreadBeside warns of other stack files beside the one that was found.
func (l *loader) unreadBeside(found string) {
	var others []string
	for _, name := range userfile.StackNames() {
		if path := filepath.Join(filepath.Dir(found), name); path != found && userfile.IsFile(path) {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return
	}
	verb := "is"
	if len(others) > 1 {
		verb = "are"
	}
	l.Report(spec.Diagnostic{Severity: spec.Warning,
		Message: fmt.Sprintf("%s %s not read: %s is", strings.Join(others, ", "), verb, filepath.Base(found)), Hint: "keep one of them, or say with -f which"})
}
