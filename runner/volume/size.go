package volume

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// Size is how many bytes a volume takes on the disk.
func (v *Store) Size(name string) (int64, error) {
	if isMounted(v.Path(name)) {
		return 0, nil // it takes room elsewhere
	}
	size, err := treeSize(v.Path(name))
	if err != nil {
		return 0, fmt.Errorf("cannot measure volume %s: %w", name, err)
	}
	return size, nil
}

// treeSize is how much of the disk the files below a directory take; what goes
// away meanwhile does not count, and a file with many names counts once.
func treeSize(dir string) (int64, error) {
	var total int64
	seen := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			total += info.Size()
			return nil
		}
		if st.Nlink > 1 && seen[st.Ino] {
			return nil
		}
		seen[st.Ino] = st.Nlink > 1
		total += st.Blocks * 512
		return nil
	})
	return total, err
}
