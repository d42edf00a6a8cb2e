// Command orlop-gate runs as the first container of a pod, and ends when what the pod's service depends on is as
// far as it has to be. It watches pods and jobs with the rights that its pod has, and links nothing
// of ours or of Kubernetes: an image is made of it alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gate: "+err.Error())
		os.Exit(1)
	}
}

const usage = "usage: orlop-gate -project PROJECT SERVICE=CONDITION [SERVICE=CONDITION]"

func run(ctx context.Context, args []string) error {
	if len(args) < 3 || args[0] != "-project" {
		return errors.New(usage)
	}
	c, err := inCluster()
	if err != nil {
		return err
	}
	ended := make(chan error, len(args))
	waits := args[2:]
	for _, arg := range waits {
		service, condition, ok := strings.Cut(arg, "=")
		if !ok {
			return errors.New(usage)
		}
		go func() { ended <- c.await(ctx, args[1], service, condition) }()
	}
	fmt.Println("waits for " + strings.Join(waits, ", "))
	for range waits {
		if err := <-ended; err != nil {
			return err
		}
	}
	return nil
}

// pause is how long the gate waits before it asks again an API server that did not answer.
const pause = time.Second

// await waits until a service is as far as a condition wants it.
func (c *client) await(ctx context.Context, project, service, condition string) error {
	look, path := conditionOf(condition)
	if look == nil {
		return fmt.Errorf("unknown condition %q", condition)
	}
	selector := "orlop.dev/project=" + project + ",orlop.dev/service=" + service
	said := ""
	for {
		err := c.follow(ctx, path, selector, func(all map[string]object) (bool, error) { return look(service, all) })
		var final *failed
		switch {
		case err == nil:
			fmt.Printf("%s: %s\n", service, condition)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &final):
			return err
		case err.Error() != said:
			said = err.Error()
			fmt.Fprintln(os.Stderr, "gate: "+said)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// failed is a condition that will not be met.
type failed struct{ text string }

func (e *failed) Error() string { return e.text }

// conditionOf says how a condition of the Compose Specification (depends_on) is looked for, and in which objects.
func conditionOf(name string) (look func(service string, all map[string]object) (bool, error), path string) {
	switch name {
	case "service_started":
		return isStarted, "/api/v1/%s/pods"
	case "service_healthy":
		return isHealthy, "/api/v1/%s/pods"
	case "service_completed_successfully":
		return isCompleted, "/apis/batch/v1/%s/jobs"
	}
	return nil, ""
}

func isStarted(_ string, pods map[string]object) (bool, error) {
	for _, pod := range pods {
		if pod.Metadata.DeletionTimestamp == "" && (pod.Status.Phase == "Running" || pod.Status.Phase == "Succeeded") {
			return true, nil
		}
	}
	return false, nil
}

func isHealthy(_ string, pods map[string]object) (bool, error) {
	for _, pod := range pods {
		if pod.Metadata.DeletionTimestamp == "" && pod.has("Ready") {
			return true, nil
		}
	}
	return false, nil
}

// isCompleted looks at the newest job alone: older ones are of what the service was.
func isCompleted(service string, jobs map[string]object) (bool, error) {
	newest := object{}
	for _, job := range jobs {
		if job.Metadata.DeletionTimestamp == "" && (newest.Metadata.Name == "" || job.Metadata.CreationTimestamp > newest.Metadata.CreationTimestamp) {
			newest = job
		}
	}
	if newest.has("Failed") {
		return false, &failed{service + " has failed"}
	}
	return newest.has("Complete"), nil
}
