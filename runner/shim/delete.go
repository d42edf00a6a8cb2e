package shim

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// Delete deletes a task. Of one whose first process has ended, as its shim says, nothing
// runs any more: its process namespace is gone, or the shim has ended what was left.
// Only where that proves wrong, and where it may not have ended, all of it is killed first.
func Delete(ctx context.Context, task containerd.Task, ended bool) error {
	if ended {
		_, err := task.Delete(ctx)
		if err == nil || errdefs.IsNotFound(err) || IsGone(err) {
			return err
		}
	}
	_, err := task.Delete(ctx, containerd.WithProcessKill)
	return err
}
