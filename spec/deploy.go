package spec

import (
	"strconv"
	"strings"
	"time"
)

// Deploy holds the part of "deploy" that Orlop carries out.
type Deploy struct {
	Mode          string         `json:"mode,omitempty"` // "" is DeployReplicated
	Replicas      *int           `json:"replicas,omitempty"`
	Resources     *Resources     `json:"resources,omitempty"`
	RestartPolicy *RestartPolicy `json:"restart_policy,omitempty"`
	UpdateConfig  *UpdateConfig  `json:"update_config,omitempty"`
	// RollbackConfig is how an update that failed is taken back.
	RollbackConfig *UpdateConfig `json:"rollback_config,omitempty"`
	// These mean something on a cluster alone.
	EndpointMode string            `json:"endpoint_mode,omitempty"` // "", vip, dnsrr
	Labels       map[string]string `json:"labels,omitempty"`
	Placement    *Placement        `json:"placement,omitempty"`
}

// Placement says on which nodes of a cluster containers run (Compose Deploy Specification, "placement").
type Placement struct {
	Constraints []string     `json:"constraints,omitempty"` // "node.labels.disk==ssd"
	MaxReplicas int          `json:"max_replicas_per_node,omitempty"`
	Preferences []Preference `json:"preferences,omitempty"`
}

// Preference spreads containers over the values of a node's label.
type Preference struct {
	Spread string `json:"spread,omitempty"` // "node.labels.zone"
}

// OfOne is what of deploy holds for a single container that nothing restarts.
func (d *Deploy) OfOne() *Deploy {
	if d == nil || d.Resources == nil {
		return nil
	}
	return &Deploy{Resources: d.Resources}
}

// Modes of a Deploy. Global is one container on each machine, and there is one.
// The containers of a job are to run until they complete.
const (
	DeployReplicated    = "replicated"
	DeployGlobal        = "global"
	DeployReplicatedJob = "replicated-job"
	DeployGlobalJob     = "global-job"
)

// DeployModes are the modes that a service may have.
func DeployModes() []string {
	return []string{DeployReplicated, DeployGlobal, DeployReplicatedJob, DeployGlobalJob}
}

func (s *Service) mode() string {
	if s.Deploy == nil {
		return ""
	}
	return s.Deploy.Mode
}

// IsGlobal says that the service has one container on the machine.
func (s *Service) IsGlobal() bool {
	return s.mode() == DeployGlobal || s.mode() == DeployGlobalJob
}

// IsJob says that the service's containers are to run until they complete.
func (s *Service) IsJob() bool {
	return s.mode() == DeployReplicatedJob || s.mode() == DeployGlobalJob
}

// Orders of an UpdateConfig.
const (
	StartFirst = "start-first"
	StopFirst  = "stop-first"
)

// UpdateConfig says how containers are replaced ("deploy.update_config"), or how that is
// taken back ("deploy.rollback_config"). It
// makes nothing of a container: a change of it replaces none.
type UpdateConfig struct {
	Parallelism     *int     `json:"parallelism,omitempty"` // at a time; 0: all
	Delay           Duration `json:"delay,omitempty"`       // from one batch to the next
	FailureAction   string   `json:"failure_action,omitempty"`
	Monitor         Duration `json:"monitor,omitempty"` // how long a batch is watched for failures
	MaxFailureRatio float64  `json:"max_failure_ratio,omitempty"`
	Order           string   `json:"order,omitempty"` // "" is StopFirst
}

// What follows when more of an update fails than it may.
const (
	FailurePause    = "pause" // the default
	FailureContinue = "continue"
	FailureRollback = "rollback" // of an update alone
)

// Batch is how many of so many containers are replaced at a time. One is, where only
// the time between them is said.
func (u *UpdateConfig) Batch(containers int) int {
	switch {
	case u == nil || containers == 0:
		return max(containers, 1)
	case u.Parallelism != nil && *u.Parallelism > 0:
		return min(*u.Parallelism, containers)
	case u.Parallelism == nil && (u.Delay > 0 || u.Monitor > 0):
		return 1
	}
	return containers
}

// Update says how the service's containers are replaced; nil: all at once.
func (s *Service) Update() *UpdateConfig {
	if s.Deploy == nil {
		return nil
	}
	return s.Deploy.UpdateConfig
}

// Rollback says how an update of the service that failed is taken back; it is, where isWanted.
func (s *Service) Rollback() (how *UpdateConfig, isWanted bool) {
	if u := s.Update(); u == nil || u.FailureAction != FailureRollback {
		return nil, false
	}
	return s.Deploy.RollbackConfig, true
}

// RollsBack says that an update of some service is taken back if it fails.
func (p *Project) RollsBack() bool {
	for _, s := range p.Services {
		if _, isWanted := s.Rollback(); isWanted {
			return true
		}
	}
	return false
}

// StartsFirst says whether a replacement of the service is to be ready before
// the container that it replaces is stopped.
func (s *Service) StartsFirst() bool { return s.Update().StartsFirst() }

// StartsFirst says whether the order is StartFirst.
func (u *UpdateConfig) StartsFirst() bool { return u != nil && u.Order == StartFirst }

// Conditions under which a container that has ended is started again.
const (
	RestartNone      = "none"
	RestartOnFailure = "on-failure"
	RestartAny       = "any"
)

// RestartConditions are the words that restart_policy.condition may have: those of
// the specification, and those of restart, which mean the same.
func RestartConditions() []string {
	return []string{RestartNone, RestartOnFailure, RestartAny, "no", "always", "unless-stopped"}
}

// RestartPolicy says when a container that has ended is started again
// ("deploy.restart_policy").
type RestartPolicy struct {
	Condition   string    `json:"condition,omitempty"` // "" is RestartAny
	Delay       *Duration `json:"delay,omitempty"`
	MaxAttempts *int      `json:"max_attempts,omitempty"`
	Window      *Duration `json:"window,omitempty"`
}

// RestartTerms are what a service says of starting its containers again.
type RestartTerms struct {
	Condition string        // RestartNone, RestartOnFailure or RestartAny
	Bounded   bool          // it is tried Most times at most
	Most      int           // tries that fail, until it is given up
	Delay     time.Duration // before each try; 0: a pause that grows from try to try
	Window    time.Duration // a try that runs that long has not failed; 0: each one has that ends
}

// RestartTerms are those of deploy.restart_policy, else those of restart: where both
// are given, Compose goes by the first. A job that has completed is not run again.
func (s *Service) RestartTerms() RestartTerms {
	terms := RestartOf(s.Restart)
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		terms = s.Deploy.RestartPolicy.terms()
	}
	if s.IsJob() && terms.Condition == RestartAny {
		terms.Condition = RestartOnFailure
	}
	return terms
}

// RestartOf are the terms that a value of restart says.
func RestartOf(restart string) RestartTerms {
	policy, limit, isBounded := strings.Cut(restart, ":")
	most, _ := strconv.Atoi(limit)
	return RestartTerms{Condition: restartCondition(policy), Bounded: isBounded, Most: most}
}

func restartCondition(word string) string {
	switch word {
	case RestartAny, "always", "unless-stopped":
		return RestartAny
	case RestartOnFailure:
		return RestartOnFailure
	}
	return RestartNone
}

func (p *RestartPolicy) terms() RestartTerms {
	terms := RestartTerms{Condition: RestartAny}
	if p.Condition != "" {
		terms.Condition = restartCondition(p.Condition)
	}
	if p.MaxAttempts != nil {
		terms.Bounded, terms.Most = true, *p.MaxAttempts
	}
	if p.Delay != nil {
		terms.Delay = time.Duration(*p.Delay)
	}
	if p.Window != nil {
		terms.Window = time.Duration(*p.Window)
	}
	return terms
}

// IsOneShot says that the service's containers may end with code 0.
func (s *Service) IsOneShot() bool { return s.RestartTerms().Condition != RestartAny }
