package display

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/happening"
	"github.com/orlop/orlop/spec"
)

// Container is a container as "ps --format json" prints it: the fields and words
// of Compose, that scripts rely on.
type Container struct {
	Command      string
	CreatedAt    string
	ExitCode     int
	Health       string
	ID           string
	Image        string
	Labels       string
	LocalVolumes string
	Mounts       string
	Name         string
	Names        string
	Networks     string
	Ports        string
	Project      string
	Publishers   []publisher
	RunningFor   string
	Service      string
	Size         string
	State        string
	Status       string
	Created      int64

	labels  map[string]string
	isSized bool
}

// SetSize notes how many bytes a container takes: of what it has written, and with its image.
func (c *Container) SetSize(layer, total int64) {
	c.Size, c.isSized = DockerBytes(layer)+" (virtual "+DockerBytes(total)+")", true
}

// DockerBytes is a number of bytes as Docker writes it: of three digits.
func DockerBytes(n int64) string {
	value, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for ; value >= 1000 && len(units) > 1; units = units[1:] {
		value /= 1000
	}
	return strconv.FormatFloat(value, 'g', 3, 64) + units[0]
}

// ContainerHeaders are what Docker's tables call the fields of containers.
func ContainerHeaders() map[string]any {
	return map[string]any{
		"ID": "CONTAINER ID", "Name": "NAME", "Names": "NAMES", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
		"Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE", "Labels": "LABELS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES",
		"Networks": "NETWORKS", "Service": "SERVICE", "Project": "PROJECT", "Health": "HEALTH", "ExitCode": "EXIT CODE", "Publishers": []string{"PUBLISHERS"},
		"Created": "CREATED",
	}
}

// Label is the value of a label of the container; "" where it has none. Docker's templates
// call it so.
func (c Container) Label(name string) string { return c.labels[name] }

// HasLabel says whether the container has a label.
func (c Container) HasLabel(name string) bool {
	_, ok := c.labels[name]
	return ok
}

// Cut is the container with what is long in a table cut short.
func (c Container) Cut() Container {
	const id, command = 12, 22
	if len(c.ID) > id {
		c.ID = c.ID[:id]
	}
	if r := []rune(c.Command); len(r) > command {
		c.Command = string(r[:command-2]) + `…"`
	}
	return c
}

type publisher struct {
	URL           string
	TargetPort    int
	PublishedPort int
	Protocol      string
}

// ContainerJSON is a container of a project as "ps --format json" prints it.
func ContainerJSON(c *planner.Container, project string, now time.Time) Container {
	labels := labelsOf(c, project)
	line := Container{
		Command: commandText(c), Created: c.CreatedAt.Unix(), CreatedAt: c.CreatedAt.Format("2006-01-02 15:04:05 -0700 MST"),
		ExitCode: c.ExitCode, Health: string(c.Health), ID: c.ID, Image: ImageText(c, project), Labels: labelsText(labels), labels: labels,
		LocalVolumes: "0", Name: c.Name, Names: c.Name, Ports: portsText(c), Project: project, Publishers: publishers(c),
		RunningFor: Ago(now, c.CreatedAt), Service: c.Service, Size: "0B", State: StateWord(c), Status: statusText(c, now),
	}
	if c.Applied == nil || c.Applied.Service == nil {
		return line
	}
	var mounts []string
	volumes := 0
	for _, m := range c.Applied.Mounts() {
		if m.Type == spec.MountVolume {
			volumes++
		}
		if source := cmp.Or(m.Volume, m.Source); source != "" {
			mounts = append(mounts, source)
		}
	}
	line.LocalVolumes, line.Mounts = strconv.Itoa(volumes), strings.Join(mounts, ",")
	line.Networks = strings.Join(slices.Sorted(maps.Values(c.Applied.Networks)), ",")
	return line
}

func publishers(c *planner.Container) []publisher {
	out := []publisher{}
	for _, b := range SortedBindings(c) {
		out = append(out, publisher{URL: b.HostIP, TargetPort: b.Target, PublishedPort: b.HostPort, Protocol: b.Protocol})
	}
	for _, port := range exposed(c) {
		target, protocol, _ := strings.Cut(port, "/")
		if number, err := strconv.Atoi(target); err == nil {
			out = append(out, publisher{TargetPort: number, Protocol: protocol})
		}
	}
	return out
}

// exposed are the ports that a container's image or service exposes and that
// are not published: "80/tcp". One that does not run has none.
func exposed(c *planner.Container) []string {
	if c.State == planner.Exited {
		return nil
	}
	ports := slices.Clone(c.Exposed)
	if c.Applied != nil && c.Applied.Service != nil {
		ports = append(ports, c.Applied.Service.Expose...)
	}
	var out []string
	for _, port := range ports {
		if !strings.Contains(port, "/") {
			port += "/tcp"
		}
		published := slices.ContainsFunc(c.Published, func(b planner.Binding) bool { return fmt.Sprintf("%d/%s", b.Target, b.Protocol) == port })
		if !published && !slices.Contains(out, port) {
			out = append(out, port)
		}
	}
	slices.SortFunc(out, func(x, y string) int { return cmp.Or(len(x)-len(y), strings.Compare(x, y)) })
	return out
}

// SortedBindings are the published ports of a container, by their target.
func SortedBindings(c *planner.Container) []planner.Binding {
	return slices.SortedFunc(slices.Values(c.Published), func(x, y planner.Binding) int {
		return cmp.Or(x.Target-y.Target, strings.Compare(x.Protocol, y.Protocol), strings.Compare(x.HostIP, y.HostIP), x.HostPort-y.HostPort)
	})
}

// portsText is "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp", with the exposed
// ports that nobody published behind.
func portsText(c *planner.Container) string {
	var parts []string
	for _, b := range SortedBindings(c) {
		host := b.HostIP
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		parts = append(parts, fmt.Sprintf("%s:%d->%d/%s", host, b.HostPort, b.Target, b.Protocol))
	}
	return strings.Join(append(parts, exposed(c)...), ", ")
}

// ImageText is the reference of a container's image.
func ImageText(c *planner.Container, project string) string { return happening.Image(c, project) }

// commandText is the container's command in quotes; that of the image is not
// known here and left out.
func commandText(c *planner.Container) string {
	if c.Applied == nil || c.Applied.Service == nil {
		return `""`
	}
	words := c.Command
	if words == nil {
		words = slices.Concat([]string(c.Applied.Service.Entrypoint), []string(c.Applied.Service.Command))
	}
	return strconv.Quote(strings.Join(words, " "))
}

// labelsOf are the container's labels as Compose's tools expect them.
func labelsOf(c *planner.Container, project string) map[string]string {
	labels := map[string]string{
		"com.docker.compose.project":          project,
		"com.docker.compose.service":          c.Service,
		"com.docker.compose.container-number": strconv.Itoa(c.Number),
		"com.docker.compose.oneoff":           map[bool]string{true: "True", false: "False"}[c.OneOff],
	}
	if c.WorkingDir != "" {
		labels["com.docker.compose.project.working_dir"], labels["com.docker.compose.project.config_files"] = c.WorkingDir, strings.Join(c.ConfigFiles, ",")
	}
	if c.Version != "" {
		labels["com.docker.compose.version"] = c.Version
	}
	if c.Applied != nil && c.Applied.Service != nil {
		labels["com.docker.compose.config-hash"] = c.Applied.Service.Hash(ImageText(c, project))
		labels["com.docker.compose.depends_on"] = c.Applied.Dependencies()
		maps.Copy(labels, c.Applied.Service.Labels)
	}
	if c.Applied != nil && c.Applied.Image != "" {
		labels["com.docker.compose.image"] = c.Applied.Image
	}
	return labels
}

func labelsText(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+labels[k])
	}
	return strings.Join(parts, ",")
}

// StateWord is the state in Compose's words, which know no stopping.
func StateWord(c *planner.Container) string {
	switch {
	case c.Paused:
		return "paused"
	case c.State == planner.Stopping:
		return string(planner.Running)
	}
	return string(c.State)
}

// statusText is the state in a few words: "Up 3 minutes (healthy)".
func statusText(c *planner.Container, now time.Time) string {
	switch c.State {
	case planner.Created:
		return "Created"
	case planner.Restarting:
		text := fmt.Sprintf("Restarting (%d) %s", c.ExitCode, Ago(now, c.ExitedAt))
		if wait := c.NextTry.Sub(now); wait > 0 {
			text += ", next try in " + Span(wait)
		}
		if why, _, _ := strings.Cut(c.Error, "\n"); why != "" {
			text += ": " + why
		}
		return text
	case planner.Exited:
		text := fmt.Sprintf("Exited (%d) %s", c.ExitCode, Ago(now, c.ExitedAt))
		if c.OOMKilled {
			text += ", out of memory"
		}
		return text
	}
	text := "Up " + Span(now.Sub(c.StartedAt))
	switch {
	case c.State == planner.Stopping:
		text += " (stopping)"
	case c.Paused:
		text += " (Paused)"
	case c.Health == planner.Starting:
		text += " (health: starting)"
	case c.Health != planner.NoHealth:
		text += " (" + string(c.Health) + ")"
	}
	return text
}

// Ago is how long ago a time was; the zero time is never.
func Ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	return Span(now.Sub(then)) + " ago"
}

// Span is a time span as people say it, in Docker's words.
func Span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "Less than a second"
	case d < 2*time.Second:
		return "1 second"
	case d < time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Minute:
		return "About a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 2*time.Hour:
		return "About an hour"
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d < 14*24*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d < 60*24*time.Hour:
		return fmt.Sprintf("%d weeks", int(d.Hours()/24/7))
	case d < 2*365*24*time.Hour:
		return fmt.Sprintf("%d months", int(d.Hours()/24/30))
	}
	return fmt.Sprintf("%d years", int(d.Hours()/24/365))
}

// ContainerTable prints containers as ps does; whole leaves commands uncut.
func ContainerTable(w io.Writer, containers []Container, whole bool) error {
	t := NewTable(w)
	isSized := slices.ContainsFunc(containers, func(c Container) bool { return c.isSized })
	size := func(text string) string {
		if isSized {
			return "\t" + text
		}
		return ""
	}
	fmt.Fprintln(t, "NAME\tIMAGE\tCOMMAND\tSERVICE\tCREATED\tSTATUS\tPORTS"+size("SIZE"))
	for _, c := range containers {
		if !whole {
			c = c.Cut()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s%s\n", c.Name, c.Image, c.Command, c.Service, c.RunningFor, c.Status, c.Ports, size(c.Size))
	}
	return t.Flush()
}

// ContainerIDs prints the IDs of containers, a line each.
func ContainerIDs(w io.Writer, containers []Container) error {
	t := NewTable(w)
	for i := range containers {
		fmt.Fprintln(t, containers[i].ID)
	}
	return t.Flush()
}

// Replica names a container as the displays do: "web/1".
func Replica(c *planner.Container) string {
	if c.OneOff {
		return c.Name
	}
	return fmt.Sprintf("%s/%d", c.Service, c.Number)
}

// StateNote says how a container stands, and how it came to that.
func StateNote(k *planner.Container) string {
	text := string(k.State)
	switch k.State {
	case planner.Exited, planner.Restarting:
		text = fmt.Sprintf("exited with code %d%s", k.ExitCode, Spaced(ExitNotes(k)))
	case planner.Running:
		text = "running"
		if k.Health != planner.NoHealth {
			text += ", " + string(k.Health)
		}
		if k.Paused {
			text += ", paused"
		}
	}
	if k.Restarts > 0 {
		text += fmt.Sprintf(", restarted %s", spec.Times(k.Restarts))
	}
	return text
}

// ExitNotes are the signal and the cause behind an exit code.
func ExitNotes(k *planner.Container) string {
	var notes []string
	if name := unix.SignalName(syscall.Signal(k.ExitCode - 128)); k.ExitCode > 128 && name != "" {
		notes = append(notes, name)
	}
	if k.OOMKilled {
		notes = append(notes, "out of memory")
	}
	if k.Error != "" {
		notes = append(notes, k.Error)
	}
	if len(notes) == 0 {
		return ""
	}
	return "(" + strings.Join(notes, ", ") + ")"
}

// Spaced is a text with a space before it, unless it is empty.
func Spaced(text string) string {
	if text == "" {
		return ""
	}
	return " " + text
}

// ShortDigest is what people call something by that has a digest: twelve digits of it.
func ShortDigest(d string) string {
	const digits = 12
	_, hash, ok := strings.Cut(d, ":")
	if !ok {
		hash = d
	}
	return hash[:min(digits, len(hash))]
}
