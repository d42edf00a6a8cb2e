package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
)

// record is what is kept of a container across engines. What containerd knows
// better (is the task alive, how did it end) is asked of containerd.
//
// Its two halves are kept where they belong: the metadata with containerd's
// container, as an extension, so that the two can't disagree; the status in the
// engine's store.
type record struct {
	metadata
	status
}

// metadata is what a container was made from, as it was last changed in place.
type metadata struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Project    string              `json:"project"`
	Service    string              `json:"service"`
	Number     int                 `json:"number"`
	OneOff     bool                `json:"one_off,omitempty"`
	AutoRemove bool                `json:"auto_remove,omitempty"`
	Applied    *planner.Applied    `json:"applied"`
	Image      string              `json:"image"` // reference
	StopSignal string              `json:"stop_signal,omitempty"`
	Probe      *health.Check       `json:"probe,omitempty"`     // the health check in force
	Anonymous  map[string]string   `json:"anonymous,omitempty"` // target -> volume that nobody named
	LeftOut    []string            `json:"left_out,omitempty"`  // targets of mounts whose source was not there
	Networks   map[string][]string `json:"networks,omitempty"`  // full name -> aliases
	Netns      string              `json:"netns,omitempty"`
	Hostname   string              `json:"hostname,omitempty"`
	Command    []string            `json:"command,omitempty"`
	Exposed    []string            `json:"exposed,omitempty"` // ports that the image exposes: "80/tcp"
	Version    string              `json:"version,omitempty"` // of the engine that made it
	Terminal   bool                `json:"terminal,omitempty"`
	Stdin      bool                `json:"stdin,omitempty"`
	WorkingDir string              `json:"working_dir,omitempty"` // of the project
	Files      []string            `json:"files,omitempty"`       // stack files
	CreatedAt  time.Time           `json:"created_at"`
}

// terms are what the supervision goes by.
func (m *metadata) terms() terms {
	return terms{restart: m.Applied.Service.Restart, checked: m.Probe != nil}
}

// status is what is wanted of a container, and what was observed of it that an
// engine to come can't find out by itself. The supervisor alone changes it.
type status struct {
	State     planner.State     `json:"state"`
	Health    planner.Health    `json:"health,omitempty"`
	Wanted    bool              `json:"wanted"`  // to run
	Stopped   bool              `json:"stopped"` // on the user's word
	ExitCode  int               `json:"exit_code"`
	OOMKilled bool              `json:"oom_killed,omitempty"`
	Restarts  int               `json:"restarts"`
	Error     string            `json:"error,omitempty"`
	StartedAt time.Time         `json:"started_at"`
	ExitedAt  time.Time         `json:"exited_at"`
	Addresses []string          `json:"addresses,omitempty"`
	Published []planner.Binding `json:"published,omitempty"`
}

// Store keeps small documents across engines. Save and Delete take effect at
// once for Load and reach the disk with the next Flush, or soon by themselves.
type Store interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
	Flush() error
}

// bucketContainers is the bucket of the containers' statuses in the store.
const bucketContainers = "containers"

// save keeps a container's status.
func (r *Runner) save(id string, s status) {
	b, err := json.Marshal(s)
	if err != nil {
		r.log.Error("cannot encode the status of a container", "container", id, "error", err)
		return
	}
	r.store.Save(bucketContainers, id, b)
}

// extension is the name of the metadata on containerd's containers, and
// metadataType their type.
const (
	extension    = "io.orlop.metadata"
	metadataType = "orlop.io/metadata"
)

// extend puts the metadata, and the labels that follow from it, on a container
// of containerd.
func (m *metadata) extend(k *containers.Container) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("internal error: cannot encode the metadata of %s: %w", m.Name, err)
	}
	if k.Extensions == nil {
		k.Extensions = map[string]typeurl.Any{}
	}
	k.Extensions[extension] = &anypb.Any{TypeUrl: metadataType, Value: b}
	labels := containerLabels(m)
	for name, value := range k.Labels {
		if strings.HasPrefix(name, "containerd.io/") {
			labels[name] = value
		}
	}
	k.Labels = labels
	return nil
}

// withMetadata makes a container with what it is made from.
func withMetadata(m *metadata) containerd.NewContainerOpts {
	return func(_ context.Context, _ *containerd.Client, k *containers.Container) error { return m.extend(k) }
}

// amend changes what a container was made from, and the document that its next
// process is made from, in one step: both hold, or neither. The document may
// be left as it is. The caller holds op.
func (c *container) amend(ctx context.Context, made metadata, doc func(*specs.Spec)) error {
	err := c.ctr.Update(ctx, func(_ context.Context, _ *containerd.Client, k *containers.Container) error {
		if doc != nil {
			if err := redocument(k, doc); err != nil {
				return err
			}
		}
		return made.extend(k)
	})
	if err != nil {
		return fmt.Errorf("cannot change the record of %s: %w", c.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = &made
	return nil
}

// redocument changes the document that a container's next process is made from.
func redocument(k *containers.Container, change func(doc *specs.Spec)) error {
	var doc specs.Spec
	if err := json.Unmarshal(k.Spec.GetValue(), &doc); err != nil {
		return err
	}
	change(&doc)
	encoded, err := typeurl.MarshalAny(&doc)
	if err == nil {
		k.Spec = encoded
	}
	return err
}

// readRecord puts the record of a container together. Without a status its
// state is unknown. An error says that it was never finished.
func readRecord(k *containers.Container, doc []byte) (rec record, err error) {
	kept := k.Extensions[extension]
	if kept == nil {
		return rec, errNoMetadata
	}
	if err := json.Unmarshal(kept.GetValue(), &rec.metadata); err != nil {
		return rec, err
	}
	if rec.Applied == nil || rec.Applied.Service == nil {
		return rec, errNoMetadata
	}
	if json.Unmarshal(doc, &rec.status) != nil {
		rec.status = status{}
	}
	return rec, nil
}

// errNoMetadata says that nothing tells what a container was made from.
var errNoMetadata = errors.New("nothing tells what it was made from")

// readOldRecord is readRecord for a container of an engine before v1.1, which
// kept both halves in the store, and a copy of the first one that was written
// in the container's directory.
func readOldRecord(doc, first []byte) (rec record, err error) {
	if json.Unmarshal(doc, &rec) == nil && rec.Applied != nil && rec.Applied.Service != nil {
		return rec, nil
	}
	rec = record{}
	if json.Unmarshal(first, &rec) != nil || rec.Applied == nil || rec.Applied.Service == nil {
		return rec, errNoMetadata
	}
	rec.status = status{}
	return rec, nil
}

// recordOf reads the record of a container of an earlier engine, of which the
// store has doc or nothing. That of an engine which kept it elsewhere is
// carried over.
func (r *Runner) recordOf(ctx context.Context, ctr containerd.Container, doc []byte) (record, error) {
	k, err := ctr.Info(ctx, containerd.WithoutRefreshedMetadata)
	if err != nil {
		return record{}, err
	}
	rec, err := readRecord(&k, doc)
	path := filepath.Join(r.dir(ctr.ID()), "record.json")
	if err == nil {
		_ = os.Remove(path) // of an engine that was lost while it carried it over
		return rec, nil
	}
	first, _ := os.ReadFile(path)
	if rec, err = readOldRecord(doc, first); err != nil {
		return rec, err
	}
	update := func(_ context.Context, _ *containerd.Client, k *containers.Container) error { return rec.extend(k) }
	if err := ctr.Update(ctx, update); err != nil {
		return rec, fmt.Errorf("cannot carry the record of %s over from an earlier version: %w", rec.Name, err)
	}
	if rec.State != unknown {
		r.save(rec.ID, rec.status)
	}
	_ = os.Remove(path)
	return rec, nil
}

// Labels on containerd's containers. The com.docker.compose ones are those
// that other tools look for.
const (
	labelProject     = "com.docker.compose.project"
	labelService     = "com.docker.compose.service"
	labelNumber      = "com.docker.compose.container-number"
	labelOneOff      = "com.docker.compose.oneoff"
	labelWorkingDir  = "com.docker.compose.project.working_dir"
	labelConfigHash  = "com.docker.compose.config-hash"
	labelVersion     = "com.docker.compose.version"
	labelConfigFiles = "com.docker.compose.project.config_files"
	labelName        = "io.orlop.name"
)
