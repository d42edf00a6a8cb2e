// Package deploy has the verbs of orlop deploy: they load the stack, have the engine build and push its images, ask package
// deploy for a plan, and show how it is carried out. What the cluster's objects are, it does not decide.
package deploy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/deploy/buildkit"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/manifest"
)

// Silence keeps the libraries of Kubernetes from writing to the terminal: what a user needs to know comes as errors.
func Silence() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(nothing{})
}

type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

// place are the flags that say where.
type place struct {
	context, namespace string
}

func (p *place) flags(f *pflag.FlagSet) {
	f.StringVar(&p.context, "context", "", "`context` of the kubeconfig; without it the current one")
	f.StringVarP(&p.namespace, "namespace", "n", "", "`namespace` of the cluster, as -n of kubectl; without it the context's")
}

// what are the flags that say what is deployed, and how.
type what struct {
	place
	registry    string
	builder     string
	publish     string
	pull        string
	build       bool
	noBuild     bool
	noGates     bool
	copyImages  bool
	force       bool
	adopt       bool
	restart     bool
	makeSpace   bool
	wait        bool
	timeout     time.Duration
	detailed    bool
	planOnly    bool // nothing is pushed
	offline     bool // and no registry asked
	format      string
	replicasNow []string
	acts        *pflag.FlagSet // that have --timeout; nil: nothing is deployed
}

func (w *what) flags(f *pflag.FlagSet) {
	w.place.flags(f)
	f.StringVar(&w.registry, "registry", "", "`REGISTRY[/PATH]` that images are pushed to which have none in their names; or ORLOP_REGISTRY")
	f.StringVar(&w.builder, "builder", "", "`address` of a BuildKit that builds and pushes in place of the engine: unix://PATH, tcp://HOST:PORT?cacert=FILE, ssh://HOST, kube://POD?namespace=NAME")
	f.StringVar(&w.publish, "publish", "", "`how` published ports are reached from outside: none, nodeport or loadbalancer; x-orlop.publish of a service comes first")
	f.StringVar(&w.pull, "pull", "missing", "`when` to ask registries for the digests of images: missing (of those that are not deployed yet), always")
	f.BoolVar(&w.build, "build", false, "build all images, also those whose inputs have not changed")
	f.BoolVar(&w.noBuild, "no-build", false, "build nothing: images that changed are an error")
	f.BoolVar(&w.noGates, "no-gates", false, "let pods start without waiting for what they depend on; the deploy itself waits")
	f.BoolVar(&w.copyImages, "copy-images", false, "push to --registry also the images that the stack takes from elsewhere")
	f.BoolVar(&w.force, "force-conflicts", false, "take over fields that others have changed on the cluster")
	f.BoolVar(&w.adopt, "adopt", false, "take over objects that are there and not of this project")
	f.StringArrayVar(&w.replicasNow, "scale", nil, "`SERVICE=N`: run N pods of a service")
}

func (w *what) acting(f *pflag.FlagSet) {
	w.acts = f
	f.BoolVar(&w.wait, "wait", true, "wait until all is ready; --wait=false waits for what others depend on alone")
	f.DurationVar(&w.timeout, "timeout", 5*time.Minute, "`time` that each service may take to be ready; 0: for ever")
	f.BoolVar(&w.restart, "restart", false, "replace all pods, also of services that have not changed")
}

func (w *what) making(f *pflag.FlagSet) {
	f.BoolVar(&w.makeSpace, "create-namespace", false, "make the namespace if it is not there")
}

// Commands are the verbs about clusters.
func Commands(invocation func() *cli.Invocation) []*cobra.Command {
	return []*cobra.Command{deployCommand(invocation), bridgeCommand(invocation)}
}

// deployCommand is the verb deploy with all that is below it.
func deployCommand(invocation func() *cli.Invocation) *cobra.Command {
	var w what
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Bring the stack to a Kubernetes cluster",
		Long: "Bring the stack to a Kubernetes cluster: build and push what changed, apply the objects that differ, wait until all is ready, remove\n" +
			"what the stack file no longer has. What Kubernetes has no equal of is said with its place; docs/kubernetes.md has the table.",
		Example: "  orlop deploy --registry registry.example/team  build, push, apply, and wait until all is ready\n" +
			"  orlop deploy plan                              show what would change, and why\n" +
			"  orlop deploy status                            how the services are\n" +
			"  orlop deploy rollback                          back to what was deployed before",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return run(ctx, inv, w) })
		},
	}
	w.flags(c.Flags())
	w.acting(c.Flags())
	w.making(c.Flags())
	c.Flags().BoolVar(&w.detailed, "detailed-exitcode", false, "exit with 0 if nothing had to change, 2 if something was changed, 1 for an error")
	c.AddCommand(planCommand(invocation), statusCommand(invocation), logsCommand(invocation), execCommand(invocation), historyCommand(invocation),
		rollbackCommand(invocation), downCommand(invocation), volumeCommand(invocation), renderCommand(invocation), watchCommand(invocation))
	return c
}

// with runs a verb that an interrupt ends.
func with(c *cobra.Command, inv *cli.Invocation, f func(context.Context, *cli.Invocation) error) error {
	if err := inherit(c); err != nil {
		return err
	}
	if space := c.Flags().Lookup("namespace"); space != nil && space.Value.String() != "" {
		if err := checkNamespace("namespace", space.Value.String()); err != nil {
			return err
		}
	}
	if most, err := c.Flags().GetDuration("timeout"); err == nil && most < 0 {
		return fmt.Errorf("--timeout is %v: it must be a time, or 0 for no end", most)
	}
	ctx, cancel := inv.Interruptible(c.Context())
	defer cancel()
	return f(ctx, inv)
}

// checkNamespace refuses what can't be the name of a namespace: a label of RFC 1123.
func checkNamespace(flag, name string) error {
	own := manifest.DNSName(name)
	if own == name && name != "" {
		return nil
	}
	err := fmt.Errorf("--%s is %q, which no namespace can be called: use small letters, digits, and - in between, 63 at most", flag, name)
	if own != "" {
		err = fmt.Errorf("%w, such as %s", err, own)
	}
	return err
}

// inherit gives a verb below deploy the flags that stand before it: orlop deploy -n shop status.
func inherit(c *cobra.Command) error {
	var errs []error
	above := c.Parent()
	for above.HasParent() && above.Parent().HasParent() {
		above = above.Parent()
	}
	above.Flags().Visit(func(f *pflag.Flag) {
		own := c.Flags().Lookup(f.Name)
		switch {
		case own == nil:
			errs = append(errs, fmt.Errorf("--%s is no flag of %s", f.Name, c.CommandPath()))
		case own == f || own.Changed:
		default:
			if list, ok := own.Value.(pflag.SliceValue); ok {
				errs = append(errs, list.Replace(f.Value.(pflag.SliceValue).GetSlice()))
				return
			}
			errs = append(errs, c.Flags().Set(f.Name, f.Value.String()))
		}
	})
	return errors.Join(errs...)
}

func planCommand(invocation func() *cli.Invocation) *cobra.Command {
	var w what
	c := &cobra.Command{
		Use: "plan", Short: "Show what deploy would change, and why", Args: cobra.NoArgs,
		Example: "  orlop deploy plan                      for people\n  orlop deploy plan --detailed-exitcode  for scripts: 0 nothing to do, 2 changes, 1 error",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Choice("format", w.format, "text", "json"); err != nil {
				return err
			}
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return showPlan(ctx, inv, w) })
		},
	}
	w.flags(c.Flags())
	c.Flags().BoolVar(&w.restart, "restart", false, "plan for deploy --restart")
	c.Flags().BoolVar(&w.detailed, "detailed-exitcode", false, "exit with 0 for no changes, 2 for changes, 1 for an error")
	c.Flags().StringVar(&w.format, "format", "text", "text or json")
	return c
}

func (w *what) check(env map[string]string) error {
	if w.registry == "" {
		w.registry = env["ORLOP_REGISTRY"]
	}
	if w.builder != "" {
		if _, err := buildkit.Parse(w.builder); err != nil {
			return err
		}
	}
	if w.publish != "" {
		if err := cli.Choice("publish", w.publish, manifest.Ways()...); err != nil {
			return err
		}
	}
	return cli.Choice("pull", w.pull, "missing", "always")
}

// deadline is what Kubernetes is told of --timeout, see manifest.Options; where that is not given, what it was told before.
func (w *what) deadline(last *core.Revision) int64 {
	if w.acts == nil || !w.acts.Changed("timeout") {
		if last == nil {
			return 0
		}
		return last.Document.Deadline
	}
	switch {
	case w.timeout <= 0:
		return manifest.Forever
	case w.timeout <= kubernetesTimeout:
		return 0
	}
	return int64(math.Ceil(w.timeout.Seconds()))
}

// kubernetesTimeout is what Kubernetes gives a rollout where it is told nothing.
const kubernetesTimeout = 10 * time.Minute
