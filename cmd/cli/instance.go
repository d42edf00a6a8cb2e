package cli

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// autoInstance asks for an instance that is named after the git work tree and
// its branch.
const autoInstance = "auto"

// InstanceOf says which copy of the stack is meant: --instance, else
// ORLOP_INSTANCE.
func (s *Settings) InstanceOf() (string, error) {
	name := cmp.Or(s.Instance, s.Env["ORLOP_INSTANCE"])
	if name != autoInstance {
		return name, nil
	}
	dir, err := s.stackDir()
	if err != nil {
		return "", err
	}
	return workTreeInstance(dir)
}

// stackDir is a directory of the stack's work tree.
func (s *Settings) stackDir() (string, error) {
	dir := s.Directory
	if dir == "" && len(s.Files) > 0 && s.Files[0] != "-" && !spec.IsRemote(s.Files[0]) {
		dir = filepath.Dir(s.Files[0])
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(s.Dir, dir)
	}
	return filepath.Abs(dir)
}

// workTreeInstance names the work tree that a directory is in: its branch, and
// a part of a digest of its path, for two clones may be on the same branch.
func workTreeInstance(dir string) (string, error) {
	tree, gitDir, err := findWorkTree(dir)
	if err != nil {
		return "", err
	}
	head, err := userfile.Read(filepath.Join(gitDir, "HEAD"))
	if err != nil {
		return "", fmt.Errorf("cannot tell the branch of the work tree %s: name the instance with --instance: %w", tree, err)
	}
	sum := sha256.Sum256([]byte(tree))
	return spec.NormalInstance(headName(string(head), filepath.Base(tree)) + "-" + hex.EncodeToString(sum[:3])), nil
}

// findWorkTree is the work tree around a directory, and where git keeps what
// belongs to it: .git, or what a file of that name points to.
func findWorkTree(dir string) (tree, gitDir string, err error) {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	for at := dir; ; at = filepath.Dir(at) {
		git := filepath.Join(at, ".git")
		info, err := os.Stat(git)
		switch {
		case err == nil && info.IsDir():
			return at, git, nil
		case err == nil:
			text, err := userfile.Read(git)
			target, ok := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir: ")
			if err != nil || !ok {
				return "", "", fmt.Errorf("cannot read %s: name the instance with --instance", git)
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(at, target)
			}
			return at, target, nil
		case at == filepath.Dir(at):
			return "", "", fmt.Errorf("cannot derive an instance: %s is in no git work tree; name the instance with --instance", dir)
		}
	}
}

// maxBranch is how much of a branch's name stands in that of an instance.
const maxBranch = 30

// headName is the branch that a HEAD names, else the beginning of its commit;
// where the branch is kept elsewhere (reftable) it is the tree's own name.
func headName(head, tree string) string {
	head = strings.TrimSpace(head)
	branch, ok := strings.CutPrefix(head, "ref: refs/heads/")
	switch {
	case branch == ".invalid":
		branch = tree
	case !ok:
		branch = head[:min(len(head), 8)]
	}
	if len(branch) > maxBranch {
		branch = branch[:maxBranch]
	}
	return strings.Trim(branch, "/-_.")
}
