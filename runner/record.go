package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/orlop/orlop/planner"
)

// record is what is kept of a container across engines. What containerd knows
// better (is the task alive, how did it end) is asked of containerd.
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
	Probe      *probe              `json:"probe,omitempty"`     // the health check in force
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

// procStatus is what is wanted of a container, and what was observed of it that an
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

// Buckets of the store that the runner uses.
const (
	bucketContainers = "containers"
	bucketNetworks   = "networks"
)

// writeRecord keeps a container's record beside its log, before containerd
// knows of the container: what the store loses is read from there.
func (r *Runner) writeRecord(rec *record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir(rec.ID), "record.json"), b, 0o600)
}

// readRecord is the record of a container of which the store has doc, or
// nothing. What the store has lost of it is its status.
func (r *Runner) readRecord(id string, doc []byte) (rec record, ok bool) {
	if json.Unmarshal(doc, &rec) == nil && rec.Applied != nil {
		return rec, true
	}
	doc, err := os.ReadFile(filepath.Join(r.dir(id), "record.json"))
	if err != nil || json.Unmarshal(doc, &rec) != nil || rec.Applied == nil {
		return record{}, false
	}
	rec.status = status{}
	return rec, true
}

func (r *Runner) save(rec *record) {
	b, err := json.Marshal(rec)
	if err != nil {
		r.log.Error("cannot encode a container's record", "container", rec.ID, "error", err)
		return
	}
	r.store.Save(bucketContainers, rec.ID, b)
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
