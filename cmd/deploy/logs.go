package deploy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	core "github.com/orlop/orlop/deploy"
	"github.com/orlop/orlop/deploy/cluster"
	"github.com/orlop/orlop/deploy/manifest"
)

type logFlags struct {
	place
	follow       bool
	previous     bool
	pod          podChoice
	tail         string
	since, until string
	print        display.LogFormat
}

func logsCommand(invocation func() *cli.Invocation) *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use: "logs [SERVICE...]", Short: "Show what the pods of services print",
		Example: "  orlop deploy logs -f web\n  orlop deploy logs --pod web-x2x7q  of the pod that logs call so\n  orlop deploy logs --previous api   of the container before it was started again",
		RunE: func(c *cobra.Command, args []string) error {
			return with(c, invocation(), func(ctx context.Context, inv *cli.Invocation) error { return logs(ctx, inv, f, args) })
		},
	}
	f.place.flags(c.Flags())
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with what is printed from now on, also by pods that come later")
	c.Flags().BoolVar(&f.previous, "previous", false, "of the container that was there before it was started again")
	c.Flags().StringVar(&f.tail, "tail", "all", "`lines` to show of each pod; it has no short form here: -n is --namespace")
	f.pod.flags(c.Flags(), "")
	c.Flags().StringVar(&f.since, "since", "", "from this `time` on: 10m, 2026-01-31T15:04:05Z, or seconds of Unix time")
	c.Flags().StringVar(&f.until, "until", "", "to this `time`; a span is counted from now by this machine's clock")
	c.Flags().BoolVarP(&f.print.Times, "timestamps", "t", false, "show the time of each line")
	c.Flags().BoolVar(&f.print.NoPrefix, "no-log-prefix", false, "show lines without the pod's name")
	c.Flags().BoolVar(&f.print.NoColor, "no-color", false, "show lines without colours")
	return c
}

func logs(ctx context.Context, inv *cli.Invocation, f logFlags, named []string) error {
	o := cluster.LogOptions{Follow: f.follow, Previous: f.previous, Timestamps: true, Tail: -1}
	if f.tail != "all" {
		n, err := strconv.Atoi(f.tail)
		if err != nil || n < 0 {
			return fmt.Errorf("--tail is %q: it must be a number of lines or all", f.tail)
		}
		o.Tail = n
	}
	if err := f.from(&o, inv.Now()); err != nil {
		return err
	}
	until, err := cli.Moment("until", f.until, inv.Now())
	if err != nil {
		return err
	}
	l := &logReader{options: o, read: map[string]bool{}, now: inv.Now, last: -1}
	if until != 0 {
		// The API knows no end: the last lines before it are found here.
		l.until = time.Unix(0, until)
		if l.options.Follow = o.Follow && l.until.After(inv.Now()); !l.options.Follow {
			l.options.Tail, l.last = -1, o.Tail
		}
	}
	if err := f.pod.check(); err != nil {
		return err
	}
	if f.pod.index != 0 && len(named) != 1 {
		return errors.New("--index is the number of a pod of one service: name that service")
	}
	client, observed, err := deployed(ctx, inv, f.place)
	if err != nil {
		return err
	}
	services, err := chosen(observed, named, client.Where())
	if err != nil {
		return err
	}
	mirror, err := client.Follow(ctx, []manifest.Kind{cluster.Pod}, manifest.LabelProject+"="+manifest.LabelValue(observed.Project))
	if err != nil {
		return err
	}
	defer mirror.Close()
	l.client, l.printer, l.services = client, inv.NewLogPrinter(f.print, nil), names(observed, services)
	if f.pod.isMade() {
		if l.pod, err = choose(mirror, f.pod, l.services); err != nil {
			return err
		}
	}
	defer l.printer.EndLine()
	if l.options.Follow && !l.until.IsZero() {
		ending, cancel := context.WithTimeoutCause(ctx, l.until.Sub(inv.Now()), errUntil)
		defer cancel()
		if err := l.run(ending, mirror); !errors.Is(context.Cause(ending), errUntil) {
			return err
		}
		return nil
	}
	return l.run(ctx, mirror)
}

// from sets where logs begin. What is said as a span is left to the nodes, whose clocks the lines have their times of.
func (f *logFlags) from(o *cluster.LogOptions, now time.Time) error {
	if span, err := time.ParseDuration(f.since); err == nil && span > 0 {
		o.Ago = span
		return nil
	}
	since, err := cli.Moment("since", f.since, now)
	if err == nil && since != 0 {
		o.Since = time.Unix(0, since)
	}
	return err
}

// errUntil ends what is followed at the time of --until.
var errUntil = errors.New("the time of --until has come")

// names are the services by their names on the cluster.
func names(observed *core.Observed, services []string) map[string]string {
	out := map[string]string{}
	for _, name := range services {
		out[manifest.ServiceName(name)] = name
	}
	return out
}

// choose is the name of the pod that is meant, of one of the services.
func choose(mirror *cluster.Mirror, choice podChoice, services map[string]string) (string, error) {
	var first error
	for _, name := range slices.Sorted(maps.Keys(services)) {
		pods := mirror.Objects(cluster.Pod, map[string]string{manifest.LabelService: name})
		pod, err := choice.find(pods, services[name])
		if err == nil {
			return pod.GetName(), nil
		}
		if first == nil {
			first = err
		}
	}
	if len(services) > 1 {
		return "", fmt.Errorf("no service has a pod %s: see \"orlop deploy status\"", choice.name)
	}
	return "", first
}

// logReader prints the logs of pods as they come.
type logReader struct {
	client   *cluster.Client
	options  cluster.LogOptions
	services map[string]string // by their names on the cluster
	pod      string            // the only one; "": all
	read     map[string]bool   // containers, by pod, name and how often they were started
	until    time.Time         // zero: to the end
	last     int               // of the lines up to then, how many; -1: all
	now      func() time.Time

	mu      sync.Mutex
	printer *display.LogPrinter // guarded by mu
}

// run reads the logs of all containers that have begun; with Follow also of those that begin later.
func (l *logReader) run(ctx context.Context, mirror *cluster.Mirror) error {
	var readers sync.WaitGroup
	defer readers.Wait()
	var first error
	var once sync.Once
	for {
		changed := mirror.Changed()
		pods := mirror.Objects(cluster.Pod, nil)
		slices.SortFunc(pods, func(a, b *cluster.Live) int { return strings.Compare(a.GetName(), b.GetName()) })
		for _, pod := range pods {
			service, is := l.services[pod.GetLabels()[manifest.LabelService]]
			if !is || l.pod != "" && pod.GetName() != l.pod {
				continue
			}
			for _, container := range l.begun(pod) {
				read := func() {
					if err := l.copy(ctx, pod.GetName(), container, service); err != nil && ctx.Err() == nil {
						once.Do(func() { first = err })
					}
				}
				if l.options.Follow {
					readers.Go(read)
				} else {
					read()
				}
			}
		}
		switch {
		case !l.options.Follow && l.options.Previous && len(l.read) == 0:
			return errors.New("no container of these was started again: there is nothing from before")
		case !l.options.Follow, l.pod != "" && !slices.ContainsFunc(pods, l.isToGoOn):
			readers.Wait()
			return first
		}
		if err := mirror.Wait(ctx, changed, 0); err != nil {
			return err
		}
	}
}

// isToGoOn says that more may come from the pod that is followed.
func (l *logReader) isToGoOn(pod *cluster.Live) bool {
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	return pod.GetName() == l.pod && phase != "Succeeded" && phase != "Failed"
}

// begun are the containers of a pod whose logs are not read yet.
func (l *logReader) begun(pod *cluster.Live) []string {
	var out []string
	for _, key := range []string{"initContainerStatuses", "containerStatuses"} {
		list, _, _ := unstructured.NestedSlice(pod.Object, "status", key)
		for _, item := range list {
			c, _ := item.(map[string]any)
			name, _ := c["name"].(string)
			_, waits, _ := unstructured.NestedMap(c, "state", "waiting")
			id := fmt.Sprint(pod.GetUID(), " ", name, " ", c["restartCount"]) // the next pod of a StatefulSet has the same name
			_, ended, _ := unstructured.NestedMap(c, "lastState", "terminated")
			isGate := key == "initContainerStatuses" && (name == "gate" || name == "orlop-gate")
			if !ended && (waits || l.options.Previous) || l.read[id] || isGate {
				continue
			}
			l.read[id] = true
			out = append(out, name)
		}
	}
	return out
}

// labelOf is what lines of a container stand behind: the pod's short name, and the container's if it is not the service's own.
func labelOf(service, pod, container string) string {
	label := shortName(service, pod)
	if container != manifest.ServiceName(service) {
		label += " " + container
	}
	return label
}

// copy prints the log of a container.
func (l *logReader) copy(ctx context.Context, pod, container, service string) error {
	c := &copied{logReader: l, label: labelOf(service, pod, container), service: service}
	return c.all(ctx, func(o cluster.LogOptions) (io.ReadCloser, error) { return l.client.Logs(ctx, pod, container, o) })
}

// all prints a log. One that is followed goes on over lost connections, without a line lost or printed twice.
func (c *copied) all(ctx context.Context, open func(cluster.LogOptions) (io.ReadCloser, error)) error {
	defer c.flush()
	options, first := c.options, c.now()
	for {
		body, err := open(options)
		if err != nil {
			return err
		}
		before, began := c.upTo, c.now()
		err = c.from(body)
		body.Close()
		if err == nil || !options.Follow || ctx.Err() != nil || c.upTo.Equal(before) && c.now().Sub(began) < lasting {
			return err
		}
		switch {
		case !c.upTo.IsZero():
			options.Since, options.Ago, options.Tail = c.upTo, 0, -1
		case c.options.Tail >= 0: // there was nothing of what it asks for: whatever came since is new
			options.Since, options.Ago, options.Tail = time.Time{}, c.now().Sub(first), -1
		case c.options.Ago > 0: // from the same time on
			options.Ago = c.options.Ago + c.now().Sub(first)
		}
	}
}

// lasting is how long a connection has to be there to be made again when it was lost with nothing to show: one that ends at once will do so
// again.
const lasting = time.Second

// copied is a log of which some is printed.
type copied struct {
	*logReader
	label   string // in place of a number, which pods have not
	service string
	upTo    time.Time        // of the last line that was read
	kept    [][]*api.LogLine // the last lines in their pieces, where not all of those up to a time are to be printed
}

// from prints what is read, but what was printed before, and what is not of the time that is asked for.
func (c *copied) from(r io.Reader) error {
	const piece = 64 << 10 // of a line that is longer
	in := bufio.NewReaderSize(r, piece)
	isRest, isShown := false, true
	before := c.upTo
	for {
		text, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err // a line that is cut off comes again, whole
		}
		if len(text) > 0 {
			line := strings.TrimSuffix(string(text), "\n")
			if !isRest {
				stamp, rest, _ := strings.Cut(line, " ")
				if when, bad := time.Parse(time.RFC3339Nano, stamp); bad == nil {
					if !c.until.IsZero() && when.After(c.until) {
						return nil
					}
					line, isShown = rest, when.After(before) && !when.Before(c.options.Since) // which the API has to the second
					c.upTo = when
				}
			}
			isPart := errors.Is(err, bufio.ErrBufferFull)
			if isShown {
				c.show(line, isRest, isPart)
			}
			isRest = isPart
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}

// show prints a line or a piece of one, or keeps it for the end where only the last are to be printed.
func (c *copied) show(text string, isRest, isPart bool) {
	line := &api.LogLine{Container: c.label, OneOff: true, Service: c.service, TimeUnixNs: c.upTo.UnixNano(), Text: []byte(api.Valid(text)), Partial: isPart}
	switch {
	case c.last < 0:
		c.print(line)
	case isRest && len(c.kept) > 0:
		c.kept[len(c.kept)-1] = append(c.kept[len(c.kept)-1], line)
	default:
		c.kept = append(c.kept, []*api.LogLine{line})
		c.kept = c.kept[max(0, len(c.kept)-c.last):]
	}
}

// flush prints what was kept for the end.
func (c *copied) flush() {
	for _, pieces := range c.kept {
		for _, line := range pieces {
			c.print(line)
		}
	}
	c.kept = nil
}

func (c *copied) print(line *api.LogLine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.printer.Print(line)
}
