package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// Observed is a snapshot of what exists of one project.
type Observed struct {
	Images     map[string]Image    `json:"images,omitempty"`   // by the reference that the project uses
	Networks   map[string]Network  `json:"networks,omitempty"` // by full name
	Volumes    map[string]Volume   `json:"volumes,omitempty"`  // by full name
	Containers []Container         `json:"containers,omitempty"`
	Absent     []string            `json:"absent,omitempty"`    // paths of the host that services mount and that don't exist
	Kept       map[string]bool     `json:"kept,omitempty"`      // digests of images that containers were made of and that are here, under any name or none
	Machine    string              `json:"machine,omitempty"`   // the platform of its own programs: "linux/amd64"
	At         time.Time           `json:"at,omitzero"`         // when the images were looked at
	Schedules  map[string]Schedule `json:"schedules,omitempty"` // by job
	Clock      time.Time           `json:"-"`                   // what time it is for schedules, in the machine's time zone
	Foreign    map[string]string   `json:"foreign,omitempty"`   // service -> the platform of its image, whose programs the machine does not run
}

// Image is an image that is present.
type Image struct {
	Digest string  `json:"digest"`
	Inputs *Inputs `json:"inputs,omitempty"` // what it was built from; nil if it was pulled or loaded
	// Named is when the image got its name: when it was pulled last, also if
	// nothing new came.
	Named time.Time `json:"named,omitzero"`
	// Lacks are the platforms that services want of the image and that are not
	// here; "" is the machine's own.
	Lacks []string `json:"lacks,omitempty"`
}

// Inputs is the fingerprint of a build: everything that decides its result.
type Inputs struct {
	Sum   string            `json:"sum"`             // digest over all of it
	Files map[string]string `json:"files,omitempty"` // path in the context -> digest; nil where there are too many
	Other map[string]string `json:"other,omitempty"` // "dockerfile", "args.NAME", "target", ... -> digest or value
	Bases map[string]string `json:"bases,omitempty"` // base reference -> digest that was used
	// Floating builds take something from the network, or from an image that
	// only the build can tell: the same inputs need not give the same image.
	Floating bool `json:"floating,omitempty"`
	// Given are the arguments of the command line (--build-arg) -> digest, and its flags -> value. They
	// are not in Sum: they hold for the build that they were given for, whose
	// image stands until what the stack file says changes.
	Given map[string]string `json:"given,omitempty"`
	// Taken are the paths of the context that the Dockerfile takes something from; nil: any. Plain says of what an image was
	// built from that its base images bring no instructions (ONBUILD), which might take more.
	Taken *[]string `json:"taken,omitempty"`
	Plain bool      `json:"plain,omitempty"`
}

// isBuiltFrom says that an image which was built from have is what a command
// wants; asked, that the command asks for builds and means its own arguments.
func (want *Inputs) isBuiltFrom(have *Inputs, asked bool) bool {
	return have != nil && (want.Sum == have.Sum || want.takesTheSame(have)) && (!asked && len(want.Given) == 0 || maps.Equal(want.Given, have.Given))
}

// takesTheSame says that what differs of the context is nothing that the build takes: BuildKit would find all of its steps done.
func (want *Inputs) takesTheSame(have *Inputs) bool {
	isKnown := want.Taken != nil && have.Plain && want.Files != nil && have.Files != nil && !want.Floating && len(want.Bases) == len(have.Bases)
	if !isKnown || !maps.Equal(want.Other, have.Other) {
		return false
	}
	for base := range want.Bases {
		if _, ok := have.Bases[base]; !ok {
			return false
		}
	}
	return len(difference.Taken(have.Files, want.Files, *want.Taken)) == 0
}

// changedFiles are those of the context that may have made a difference.
func (want *Inputs) changedFiles(have *Inputs) []string {
	if want.Taken != nil && have.Plain {
		if files := difference.Taken(have.Files, want.Files, *want.Taken); len(files) > 0 {
			return files
		}
	}
	return difference.Files(have.Files, want.Files)
}

// Network is a network that exists.
type Network struct {
	Name    string        `json:"name"`
	Project string        `json:"project,omitempty"`
	Key     string        `json:"key,omitempty"`
	Applied *spec.Network `json:"applied,omitempty"`
	Subnet  string        `json:"subnet,omitempty"`
	Guests  []Guest       `json:"guests,omitempty"` // containers of other projects on it
	Lost    []string      `json:"lost,omitempty"`   // what of it is not as it was made: "its bridge is down"
}

// Guest is a container of another project than the one that is looked at.
type Guest struct {
	Project   string `json:"project"`
	Container string `json:"container"` // ID
	Resource  string `json:"resource"`  // in its own project: "web/1"
}

func (g Guest) String() string { return g.Resource + " of " + g.Project }

// Volume is a volume that exists.
type Volume struct {
	Name    string       `json:"name"`
	Project string       `json:"project,omitempty"`
	Key     string       `json:"key,omitempty"`
	Applied *spec.Volume `json:"applied,omitempty"`
}

// State is the state of a container.
type State string

// States of a container, in the words of Compose's ps.
const (
	Created    State = "created"
	Running    State = "running"
	Restarting State = "restarting" // waits out a back-off
	Stopping   State = "stopping"
	Exited     State = "exited"
)

// Health is the outcome of a container's probes; empty without a health check.
type Health string

// Outcomes of health checks.
const (
	NoHealth  Health = ""
	Starting  Health = "starting"
	Healthy   Health = "healthy"
	Unhealthy Health = "unhealthy"
)

// Container is a container that exists.
type Container struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Service     string     `json:"service"`
	Number      int        `json:"number"`
	OneOff      bool       `json:"one_off,omitempty"`
	State       State      `json:"state"`
	Paused      bool       `json:"paused,omitempty"`   // while it runs: its processes stand still
	FrozenAt    time.Time  `json:"frozen_at,omitzero"` // when it was paused, or has gone on, last
	Signal      int        `json:"signal,omitempty"`   // that was sent to it by hand, last
	SignalledAt time.Time  `json:"signalled_at,omitzero"`
	RestartedAt time.Time  `json:"restarted_at,omitzero"` // by hand, last
	UpdatedAt   time.Time  `json:"updated_at,omitzero"`   // when it was changed in place, last
	Project     string     `json:"project,omitempty"`
	WorkingDir  string     `json:"working_dir,omitempty"`  // of its project
	ConfigFiles []string   `json:"config_files,omitempty"` // of its project, when it was made
	Health      Health     `json:"health,omitempty"`
	ExitCode    int        `json:"exit_code"`
	OOMKilled   bool       `json:"oom_killed,omitempty"`
	Stopped     bool       `json:"stopped,omitempty"` // on the user's word, not by itself
	Restarts    int        `json:"restarts,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
	StartedAt   time.Time  `json:"started_at"`
	ExitedAt    time.Time  `json:"exited_at"`
	NextTry     time.Time  `json:"next_try"` // while Restarting
	Error       string     `json:"error,omitempty"`
	Applied     *Applied   `json:"applied,omitempty"`
	Networks    []string   `json:"networks,omitempty"` // that it is on, by full name: also where it was brought, and not what it was taken off
	Addresses   []string   `json:"addresses,omitempty"`
	Published   []Binding  `json:"published,omitempty"`
	Exposed     []string   `json:"exposed,omitempty"` // ports that its image exposes: "80/tcp"
	Version     string     `json:"version,omitempty"` // of the engine that made it
	PID         int        `json:"pid,omitempty"`
	Command     []string   `json:"command,omitempty"` // what runs: entrypoint and command, of service or image
	LastProbe   *ProbeInfo `json:"last_probe,omitempty"`
	LeftOut     []string   `json:"left_out,omitempty"` // targets of mounts whose source was not there, see IsForeign
	// Turned are the binds whose source is not what it was when the container was made:
	// target -> what it is now.
	Turned  map[string]string `json:"turned,omitempty"`
	Adrift  bool              `json:"adrift,omitempty"`  // it shares a namespace that is not its owner's any more
	Lost    []string          `json:"lost,omitempty"`    // what it should have and has not, and can be given: "nobody listens on port 8080"
	Unready bool              `json:"unready,omitempty"` // its post_start has not been run to its end
	Unsent  string            `json:"unsent,omitempty"`  // what the receiver of its log will not get
	Dead    string            `json:"dead,omitempty"`    // why it does not run, though nothing has said so
}

// Masked is the container with hide applied to what its programs have printed
// and to what went wrong.
func (c Container) Masked(hide func(string) string) Container {
	c.Error = hide(c.Error)
	if c.LastProbe != nil {
		probe := *c.LastProbe
		probe.Output = hide(probe.Output)
		c.LastProbe = &probe
	}
	return c
}

// ProbeInfo is the last health probe of a container.
type ProbeInfo struct {
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"`
	ExitCode int           `json:"exit_code"`
	Output   string        `json:"output,omitempty"` // first 4 KB
	Failing  int           `json:"failing"`          // failures in a row
}

// What the source of a bind mount is on the host.
const (
	SourceFile      = "file" // or what is mounted as one: a socket, a device
	SourceDirectory = "directory"
	SourceGone      = "gone"
)

// Binding is a published port that is bound.
type Binding struct {
	HostIP   string `json:"host_ip,omitempty"`
	HostPort int    `json:"host_port"`
	Target   int    `json:"target"`
	Protocol string `json:"protocol"`
}

// Applied is the document that a container was made from. It is kept whole,
// not as a hash, so that a later plan can say which field differs.
type Applied struct {
	Service  *spec.Service     `json:"service"`
	Image    string            `json:"image,omitempty"`    // digest
	Networks map[string]string `json:"networks,omitempty"` // key -> full name
	Volumes  map[string]string `json:"volumes,omitempty"`  // key -> full name
	HostIP   string            `json:"host_ip,omitempty"`  // where ports are bound that name no address; "" is everywhere
	Backings map[string]string `json:"backings,omitempty"` // volume's key -> what is mounted as it, where that is not the engine's own
	Images   map[string]string `json:"images,omitempty"`   // of those that are mounted: reference -> digest
	Borrowed []Mounted         `json:"borrowed,omitempty"` // by volumes_from, what is known with a container alone
	Files    map[string]string `json:"files,omitempty"`    // "secrets.NAME" or "configs.NAME" -> digest of the content
	// Templates are those of Files that are filled in for each container.
	Templates []string `json:"templates,omitempty"`
	// RolledBack is when an update was taken back by a container of this document.
	RolledBack time.Time `json:"rolled_back,omitzero"`
}

// Dependencies are what its service depends on, in the words of Compose's label com.docker.compose.depends_on.
func (a *Applied) Dependencies() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a.Service.DependsOn)) {
		on := a.Service.DependsOn[name]
		list = append(list, fmt.Sprintf("%s:%s:%t", name, on.Condition, on.Restart))
	}
	return strings.Join(list, ",")
}

// IsCompleted says that a one-shot container has done its work: it ended by
// itself with code 0 and no policy wants it back.
func (c *Container) IsCompleted() bool {
	if c.State != Exited || c.ExitCode != 0 || c.Stopped || c.Applied == nil {
		return false
	}
	return c.Applied.Service.IsOneShot()
}

// rolledBack is when an update was taken back by the container; zero if none was.
func (c *Container) rolledBack() time.Time {
	if c.Applied == nil {
		return time.Time{}
	}
	return c.Applied.RolledBack
}

// isUnfinished says that it is a job's, which is ready once it has completed.
func (c *Container) isUnfinished() bool {
	return c.Applied != nil && c.Applied.Service.IsJob() && !c.IsCompleted()
}

// failsToStart says that its policy wants it to run, and that it could not be started.
func (c *Container) failsToStart() bool { return c.State == Restarting && c.Error != "" }

// IsUp says that the container is where an up leaves it: running, between two
// tries of its restart policy, or completed.
func (c *Container) IsUp() bool {
	return c.State == Running || c.State == Restarting || c.IsCompleted()
}

// CompareContainers orders containers by service, number and age.
func CompareContainers(a, b Container) int {
	return cmp.Or(strings.Compare(a.Service, b.Service), cmp.Compare(a.Number, b.Number), a.CreatedAt.Compare(b.CreatedAt))
}
