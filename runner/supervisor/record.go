package supervisor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/spec"
)

// Record is what is kept of a container across engines. What containerd knows
// better (is the task alive, how did it end) is asked of containerd.
//
// Its two halves are kept where they belong: the metadata with containerd's
// container, as an extension, so that the two can't disagree; the status in the
// engine's store.
type Record struct {
	Metadata
	Status
}

// Metadata is what a container was made from, as it was last changed in place.
type Metadata struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Project    string            `json:"project"`
	Service    string            `json:"service"`
	Number     int               `json:"number"`
	OneOff     bool              `json:"one_off,omitempty"`
	AutoRemove bool              `json:"auto_remove,omitempty"`
	UseAliases bool              `json:"use_aliases,omitempty"` // of OneOff: it answers to its service's names
	Applied    *planner.Applied  `json:"applied"`
	Image      string            `json:"image"`              // reference
	Manifest   string            `json:"manifest,omitempty"` // of a service that names its platform: the digest of that in its image
	StopSignal string            `json:"stop_signal,omitempty"`
	Probe      *health.Check     `json:"probe,omitempty"`     // the health check in force
	Anonymous  map[string]string `json:"anonymous,omitempty"` // target -> volume that nobody named
	LeftOut    []string          `json:"left_out,omitempty"`  // targets of mounts whose source was not there
	Binds      map[string]string `json:"binds,omitempty"`     // target of a bind mount -> what its source was
	Netns      string            `json:"netns,omitempty"`
	// Joined are networks that a person has connected it to beside those of its stack, by
	// name; Left are those of its stack that it was taken off.
	Joined     map[string]*spec.ServiceNetwork `json:"joined,omitempty"`
	Left       []string                        `json:"left,omitempty"`
	Cgroup     string                          `json:"cgroup,omitempty"` // its control group; "": that of its ID below the engine's
	Shm        string                          `json:"shm,omitempty"`    // where its /dev/shm is on the host, if others may share that
	Hostname   string                          `json:"hostname,omitempty"`
	Command    []string                        `json:"command,omitempty"`
	Exposed    []string                        `json:"exposed,omitempty"` // ports that the image exposes: "80/tcp"
	Version    string                          `json:"version,omitempty"` // of the engine that made it
	Terminal   bool                            `json:"terminal,omitempty"`
	Stdin      bool                            `json:"stdin,omitempty"`
	WorkingDir string                          `json:"working_dir,omitempty"` // of the project
	Files      []string                        `json:"files,omitempty"`       // stack files
	CreatedAt  time.Time                       `json:"created_at"`
}

// NetworkNames are the networks that it is on, sorted.
func (m *Metadata) NetworkNames() (names []string) {
	for _, name := range m.Applied.Networks {
		if !slices.Contains(m.Left, name) {
			names = append(names, name)
		}
	}
	names = slices.AppendSeq(names, maps.Keys(m.Joined))
	slices.Sort(names)
	return slices.Compact(names)
}

// Apart are the networks of its stack that it was taken off, as a user is told of them.
func (m *Metadata) Apart() (lost []string) {
	for _, name := range m.Left {
		lost = append(lost, "it was taken off network "+name)
	}
	return lost
}

// Terms are what the supervision goes by.
func (m *Metadata) Terms() Terms {
	return Terms{restart: m.Applied.Service.RestartTerms(), checked: m.Probe != nil}
}

// OwnVolumes are the volumes, its own and what it has of others, that nobody named and that none of the others, among
// which it may be itself, has.
func (m *Metadata) OwnVolumes(others []Record) (names []string) {
	kept := map[string]bool{}
	for i := range others {
		if others[i].ID == m.ID {
			continue
		}
		for _, name := range others[i].UsedVolumes() {
			kept[name] = true
		}
	}
	for _, name := range m.Anonymous {
		if !kept[name] {
			names = append(names, name)
		}
	}
	for _, b := range m.Applied.Borrowed {
		if b.Anonymous && !kept[b.Volume] {
			names = append(names, b.Volume)
		}
	}
	return names
}

// Status is what is wanted of a container, and what was observed of it that an
// engine to come can't find out by itself. The supervisor alone changes it.
type Status struct {
	State       planner.State     `json:"state"`
	Health      planner.Health    `json:"health,omitempty"`
	Paused      bool              `json:"paused,omitempty"`   // while it runs: its processes are frozen
	FrozenAt    time.Time         `json:"frozen_at,omitzero"` // when that became so, or ended
	Signal      int               `json:"signal,omitempty"`   // that was sent to it by hand, last
	SignalledAt time.Time         `json:"signalled_at,omitzero"`
	ToRestart   bool              `json:"to_restart,omitempty"`  // its next start is a restart by hand
	RestartedAt time.Time         `json:"restarted_at,omitzero"` // by hand, last
	UpdatedAt   time.Time         `json:"updated_at,omitzero"`   // when it was changed in place, last
	Wanted      bool              `json:"wanted"`                // to run
	Stopped     bool              `json:"stopped"`               // on the user's word
	EndAsked    bool              `json:"end_asked,omitempty"`   // while it runs: it was sent by hand the signal that is to end it
	ExitCode    int               `json:"exit_code"`
	OOMKilled   bool              `json:"oom_killed,omitempty"`
	Restarts    int               `json:"restarts"`
	FailedTries int               `json:"failed_tries,omitempty"` // of the restarts those that count as failed
	Error       string            `json:"error,omitempty"`
	StartedAt   time.Time         `json:"started_at"`
	ExitedAt    time.Time         `json:"exited_at"`
	Addresses   []string          `json:"addresses,omitempty"`
	Unready     bool              `json:"unready,omitempty"` // its post_start has not been run to its end
	Published   []planner.Binding `json:"published,omitempty"`
}

// extension is the name of the metadata on containerd's containers, and
// metadataType their type.
const (
	extension    = "io.orlop.metadata"
	metadataType = "orlop.io/metadata"
)

// Extend puts the metadata, and the labels that follow from it, on a container
// of containerd.
func (m *Metadata) Extend(k *containers.Container) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("internal error: cannot encode the metadata of %s: %w", m.Name, err)
	}
	if k.Extensions == nil {
		k.Extensions = map[string]typeurl.Any{}
	}
	k.Extensions[extension] = &anypb.Any{TypeUrl: metadataType, Value: b}
	labels := Labels(m)
	for name, value := range k.Labels {
		if strings.HasPrefix(name, "containerd.io/") {
			labels[name] = value
		}
	}
	k.Labels = labels
	return nil
}

// ReadRecord puts the record of a container together. Without a status its state
// is unknown. The error is ErrNoMetadata or ErrDamaged.
func ReadRecord(k *containers.Container, doc []byte) (rec Record, err error) {
	kept := k.Extensions[extension]
	if kept == nil {
		return rec, ErrNoMetadata
	}
	if err := json.Unmarshal(kept.GetValue(), &rec.Metadata); err != nil {
		return rec, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !rec.isWhole() {
		return rec, fmt.Errorf("%w: it names no service", ErrDamaged)
	}
	if json.Unmarshal(doc, &rec.Status) != nil {
		rec.Status = Status{}
	}
	return rec, nil
}

// isWhole says whether the metadata tells what its container was made from.
func (m *Metadata) isWhole() bool { return m.Applied != nil && m.Applied.Service != nil }

// ErrNoMetadata says that nothing tells what a container was made from.
var ErrNoMetadata = errors.New("nothing tells what it was made from")

// ErrDamaged says that what tells it can't be read.
var ErrDamaged = errors.New("its record is damaged")

// ReadOldRecord is ReadRecord for a container of an engine before v1.1, which
// kept both halves in the store, and a copy of the first one that was written
// in the container's directory. Either may be missing.
func ReadOldRecord(doc, first []byte) (rec Record, err error) {
	if len(doc) == 0 && len(first) == 0 {
		return rec, ErrNoMetadata
	}
	if json.Unmarshal(doc, &rec) == nil && rec.isWhole() {
		return rec, nil
	}
	rec = Record{}
	if json.Unmarshal(first, &rec) != nil || !rec.isWhole() {
		return rec, ErrDamaged
	}
	rec.Status = Status{}
	return rec, nil
}

// Labels on containerd's containers. The com.docker.compose ones are those
// that other tools look for.
const (
	labelProject     = "com.docker.compose.project"
	LabelService     = "com.docker.compose.service"
	labelNumber      = "com.docker.compose.container-number"
	labelOneOff      = "com.docker.compose.oneoff"
	labelWorkingDir  = "com.docker.compose.project.working_dir"
	labelConfigHash  = "com.docker.compose.config-hash"
	labelVersion     = "com.docker.compose.version"
	labelDependsOn   = "com.docker.compose.depends_on"
	labelConfigFiles = "com.docker.compose.project.config_files"
	labelDigest      = "com.docker.compose.image"
	labelName        = "io.orlop.name"
	// labelImage has containerd keep the image that a container was made of, whatever becomes of its name:
	// an update that fails goes back to it.
	labelImage = "containerd.io/gc.ref.content.image"
)

// Labels are the labels of containerd's container. An image's own
// labels never get there: they could steer the host (CVE-2026-53488). Labels
// of a service that would not fit stay in the record alone.
func Labels(rec *Metadata) map[string]string {
	labels := map[string]string{}
	for k, v := range rec.Applied.Service.Labels {
		if len(k)+len(v) <= 4096 && !strings.HasPrefix(k, "containerd.io/") {
			labels[k] = v
		}
	}
	oneOff := "False"
	if rec.OneOff {
		oneOff = "True"
	}
	maps.Copy(labels, map[string]string{
		labelProject: rec.Project, LabelService: rec.Service, labelNumber: strconv.Itoa(rec.Number), labelOneOff: oneOff,
		labelWorkingDir: rec.WorkingDir, labelConfigFiles: strings.Join(rec.Files, ","), labelName: rec.Name,
		labelConfigHash: rec.Applied.Service.Hash(rec.Image), labelVersion: rec.Version, labelDependsOn: rec.Applied.Dependencies(),
	})
	if rec.Applied.Image != "" {
		labels[labelImage], labels[labelDigest] = rec.Applied.Image, cmp.Or(rec.Manifest, rec.Applied.Image)
	}
	for k, v := range labels {
		if len(k)+len(v) > 4096 {
			delete(labels, k)
		}
	}
	return labels
}

// IsOver says that a container which is removed with its end has come to it:
// its process has ended, or the engine that was to start it is gone.
func (rec *Record) IsOver() bool {
	return rec.AutoRemove && (rec.State == planner.Exited || rec.State == planner.Created)
}

// HaveDone says that those containers that are meant, if any, have done their work: they
// ended by themselves with code 0, and don't come back.
func HaveDone(all []Record, isMeant func(*Record) bool) (done bool) {
	for i := range all {
		rec := &all[i]
		if !isMeant(rec) {
			continue
		}
		if done = rec.State == planner.Exited && rec.ExitCode == 0 && !rec.Stopped && rec.Applied.Service.IsOneShot(); !done {
			return false
		}
	}
	return done
}

// UsedVolumes are the names of the volumes that a container has.
func (rec *Record) UsedVolumes() []string {
	var names []string
	for _, name := range rec.Applied.Volumes {
		names = append(names, name)
	}
	for _, name := range rec.Anonymous {
		names = append(names, name)
	}
	for _, b := range rec.Applied.Borrowed {
		if b.Volume != "" {
			names = append(names, b.Volume)
		}
	}
	return names
}

// HaveVolume says that one of the containers has a volume.
func HaveVolume(list []Record, volume string) bool {
	return slices.ContainsFunc(list, func(rec Record) bool { return slices.Contains(rec.UsedVolumes(), volume) })
}
