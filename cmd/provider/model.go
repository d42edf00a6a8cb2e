package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec"
)

// modelRunner is the plugin of Docker's command that runs language models.
const modelRunner = "model"

// Models are language models that a stack's services use.
type Models struct {
	World
	Say     func(model, doing string)
	path    string
	present map[string]bool
	address string
}

// OpenModels finds the program that runs models, and asks it what there is.
func OpenModels(ctx context.Context, w World, say func(model, doing string)) (*Models, error) {
	m := &Models{World: w, Say: say, present: map[string]bool{}}
	if m.path, _ = w.find(modelRunner); m.path == "" {
		if m.path, _ = w.find("docker-" + modelRunner); m.path == "" {
			return nil, errors.New("models are run by docker-model, which is neither a plugin of Docker's command nor in PATH: install it, or give the services the address of another server in their environment")
		}
	}
	var status struct {
		Endpoint string `json:"endpoint"`
	}
	if err := m.ask(ctx, &status, "status", "--json"); err != nil {
		return nil, err
	}
	if m.address = status.Endpoint; m.address == "" {
		return nil, errors.New("docker-model doesn't say where it serves models: see \"docker model status\"")
	}
	var list []struct {
		Tags []string `json:"tags"`
	}
	if err := m.ask(ctx, &list, "ls", "--json"); err != nil {
		return nil, err
	}
	for _, model := range list {
		for _, tag := range model.Tags {
			m.present[tag] = true
		}
	}
	return m, nil
}

// Prepare pulls and configures a model.
func (m *Models) Prepare(ctx context.Context, model *spec.Model) error {
	if !m.present[model.Model] {
		m.Say(model.Model, "pulled")
		if err := m.run(ctx, "pull", model.Model); err != nil {
			return err
		}
	}
	args := []string{"configure"}
	if model.ContextSize > 0 {
		args = append(args, "--context-size", strconv.FormatInt(model.ContextSize, 10))
	}
	args = append(args, model.Model)
	if len(model.RuntimeFlags) > 0 {
		args = append(append(args, "--"), model.RuntimeFlags...)
	}
	return m.run(ctx, args...)
}

// Variables tell a service of a model that it uses by a name (Compose
// Specification, "models").
func (m *Models) Variables(name string, model *spec.Model, use *spec.ServiceModel) Variables {
	prefix := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	endpoint, called := prefix+"_URL", prefix+"_MODEL"
	if use != nil && use.EndpointVariable != "" {
		endpoint = use.EndpointVariable
	}
	if use != nil && use.ModelVariable != "" {
		called = use.ModelVariable
	}
	return Variables{endpoint: m.address, called: model.Model}
}

// run calls the program.
func (m *Models) run(ctx context.Context, args ...string) error {
	_, err := m.output(ctx, args...)
	return err
}

// ask reads the JSON that a call prints.
func (m *Models) ask(ctx context.Context, into any, args ...string) error {
	text, err := m.output(ctx, args...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot read what docker-model %s prints: %w", strings.Join(args, " "), err)
	}
	return nil
}

func (m *Models) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := m.command(ctx, m.path, args...)
	last := &tail{}
	cmd.Stderr = last
	text, err := cmd.Output()
	if reason := context.Cause(ctx); err != nil && reason != nil {
		return nil, reason
	}
	if err != nil {
		return nil, fmt.Errorf("docker-model %s: %w%s", strings.Join(args, " "), err, last.after())
	}
	return text, nil
}
