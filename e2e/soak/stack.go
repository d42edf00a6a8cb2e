package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// stack is the stack file as it is now.
type stack struct {
	services []*service
	colour   int // of the network's label
}

type service struct {
	name     string
	value    int    // of a variable: a change replaces the container
	label    int    // a change of it is made in place
	replicas int    // 0 to 3
	volume   bool   // it has the volume data
	healthy  bool   // it has a health check
	port     int    // on the host; 0: none
	build    bool   // its image is built from a file
	after    string // the service that must be healthy or started before
}

// newStack makes one of two to five services; each may wait for one before it.
func newStack(rng *rand.Rand, port int) *stack {
	s := &stack{}
	for i := range 2 + rng.IntN(4) {
		svc := &service{name: fmt.Sprintf("s%d", i), replicas: 1, volume: i == 0, healthy: rng.IntN(3) == 0, build: rng.IntN(4) == 0}
		if i == 0 || rng.IntN(3) == 0 {
			svc.port = port + i
		}
		if i > 0 && rng.IntN(2) == 0 {
			svc.after = s.services[rng.IntN(i)].name
		}
		s.services = append(s.services, svc)
	}
	return s
}

// change edits the stack file in one way, and says how.
func (s *stack) change(rng *rand.Rand) string {
	svc := s.services[rng.IntN(len(s.services))]
	switch rng.IntN(6) {
	case 0, 1:
		svc.value++
		return "value of " + svc.name
	case 2:
		svc.label++
		return "label of " + svc.name
	case 3:
		if svc.port == 0 {
			svc.replicas = rng.IntN(4)
			if svc.replicas == 0 && s.isNeeded(svc.name) {
				svc.replicas = 1
			}
		}
		return fmt.Sprintf("replicas of %s to %d", svc.name, svc.replicas)
	case 4:
		s.colour++
		return "label of the network"
	}
	svc.healthy = !svc.healthy
	return "health check of " + svc.name
}

func (s *stack) isNeeded(name string) bool {
	for _, svc := range s.services {
		if svc.after == name {
			return true
		}
	}
	return false
}

func (s *stack) named(name string) *service {
	for _, svc := range s.services {
		if svc.name == name {
			return svc
		}
	}
	return nil
}

// write writes the stack file and what is built.
func (s *stack) write(dir string) error {
	var b strings.Builder
	b.WriteString("services:\n")
	for _, svc := range s.services {
		s.writeService(&b, svc)
		if svc.build {
			if err := writeContext(filepath.Join(dir, svc.name), svc.value); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(&b, "networks:\n  default: {labels: {colour: \"%d\"}}\nvolumes:\n  data: {}\n", s.colour)
	return os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(b.String()), 0o644)
}

func (s *stack) writeService(b *strings.Builder, svc *service) {
	fmt.Fprintf(b, "  %s:\n", svc.name)
	if svc.build {
		fmt.Fprintf(b, "    build: %s\n", svc.name)
	} else {
		b.WriteString("    image: busybox\n")
	}
	fmt.Fprintf(b, "    restart: always\n    environment: {VALUE: \"%d\"}\n    labels: {soak: \"%d\"}\n", svc.value, svc.label)
	b.WriteString("    command: [sh, -c, 'echo begun $$VALUE; exec httpd -f -p 80 -h /']\n")
	if svc.port == 0 {
		fmt.Fprintf(b, "    deploy: {replicas: %d}\n", svc.replicas)
	} else {
		fmt.Fprintf(b, "    ports: [\"127.0.0.1:%d:80\"]\n", svc.port)
	}
	if svc.volume {
		b.WriteString("    volumes: [\"data:/data\"]\n")
	}
	if svc.healthy {
		b.WriteString("    healthcheck: {test: [CMD, \"true\"], interval: 1s}\n")
	}
	if svc.after != "" {
		condition := "service_started"
		if s.named(svc.after).healthy {
			condition = "service_healthy"
		}
		fmt.Fprintf(b, "    depends_on: {%s: {condition: %s}}\n", svc.after, condition)
	}
}

func writeContext(dir string, value int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM busybox\nCOPY value /value\nRUN cat /value > /copied\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "value"), fmt.Appendf(nil, "%d\n", value), 0o644)
}
