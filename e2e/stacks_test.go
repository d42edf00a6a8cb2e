package e2e

import (
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
)

// publishStack: registry stack NAME FILE... publishes a stack as Compose does.
func publishStack(ts *testscript.TestScript, name string, paths []string) {
	var files []lab.StackFile
	for _, path := range paths {
		f := lab.StackFile{Kind: "file"}
		if rest, ok := strings.CutPrefix(path, "extends:"); ok {
			f.Kind, path = "extends", rest
		} else if strings.HasSuffix(path, ".env") {
			f.Kind = "envfile"
		}
		f.Name, f.Content = filepath.Base(path), ts.ReadFile(path)
		files = append(files, f)
	}
	digest, err := stage.registry.PublishStack(name, files...)
	ts.Check(err)
	ts.Setenv("DIGEST", digest.String())
}
