package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/doctor"
)

func (a *app) diagnoseCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "diagnose",
		Short: "Pack logs and state for a report of a fault, without secrets",
		Long: "Pack what helps to find a fault: what doctor finds, the engine's and the keeper's own logs, lists of stacks, containers, images,\n" +
			"volumes, networks, files and mounts. Left out are stack files, values of variables, secrets, and what containers print.",
		Example: "  orlop diagnose\n  orlop diagnose -o /tmp/report.tar.gz",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.diagnose(c.Context(), file) },
	}
	c.Flags().StringVarP(&file, "output", "o", "", "`file` to write (default: orlop-diagnose-TIME.tar.gz)")
	return c
}

func (a *app) diagnose(ctx context.Context, file string) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	d, err := doctor.New(a.Invocation)
	if err != nil {
		return err
	}
	now := a.Now()
	if file == "" {
		file = "orlop-diagnose-" + now.Format("20060102-150405") + ".tar.gz"
	}
	path := file
	if !filepath.IsAbs(path) {
		path = filepath.Join(a.Dir, path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the archive: %w", err)
	}
	packing := doctor.Packing{Root: a.RootDir(), State: a.StateDir(), Environ: a.Environ, Now: now, Mask: a.Mask}
	err = errors.Join(d.Pack(ctx, f, packing), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	fmt.Fprintf(a.Stdout, "wrote %s: read it before you send it; it has names of your stacks, images and hosts\n", path)
	return nil
}
