package cli

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// Observe gives the project's containers by service and number.
func Observe(ctx context.Context, client *api.Client, s Stack) ([]planner.Container, error) {
	observed, err := Snapshot(ctx, client, s)
	if err != nil {
		return nil, err
	}
	return observed.Containers, nil
}

// Snapshot gives what exists of a project, its containers by service and number.
func Snapshot(ctx context.Context, client *api.Client, s Stack) (*planner.Observed, error) {
	doc, err := s.Document()
	if err != nil {
		return nil, err
	}
	reply, err := client.Observe(ctx, &api.ObserveRequest{Project: s.Name, Document: doc})
	if err != nil {
		return nil, Cause(ctx, err)
	}
	var observed planner.Observed
	if err := Unmarshal(reply.Observed, &observed); err != nil {
		return nil, err
	}
	slices.SortFunc(observed.Containers, func(x, y planner.Container) int {
		return cmp.Or(strings.Compare(x.Service, y.Service), boolean(x.OneOff)-boolean(y.OneOff), x.Number-y.Number, strings.Compare(x.Name, y.Name))
	})
	return &observed, nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// CreateOneOff makes a container outside of a service's replicas. notice is told
// whom it waits for.
func CreateOneOff(ctx context.Context, client *api.Client, req *api.CreateRequest, notice func(string)) (*api.CreateReply, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Create(ctx, req)
	if err != nil {
		return nil, Cause(ctx, err)
	}
	for {
		made, err := stream.Recv()
		if err != nil {
			err = Cause(ctx, err)
			if code := api.ExitCodeOf(stream.Trailer()); code != 0 {
				err = Coded{Err: err, Code: code}
			}
			return nil, err
		}
		if made.Id != "" {
			return made, nil
		}
		notice(made.Notice)
	}
}

// Within are the services that a lifecycle verb is about that names none: those
// of the stack file, whatever else the project has. What ends things is about
// those of inactive profiles too. Without a file none are given: all.
func (s Stack) Within(action planner.Action) []string {
	if s.Project == nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.Project.Services))
	if action != planner.Start && action != planner.Restart {
		names = append(names, s.Disabled()...)
	}
	return names
}

// Sight is what there is to say of the containers of services.
type Sight struct {
	Addresses []string // of web pages
	Ailing    []string // what is wrong with those that do not run as they should
}

// See looks at the containers of services of a project.
func (inv *Invocation) See(ctx context.Context, client *api.Client, project string, services []string) Sight {
	containers, err := Observe(ctx, client, Stack{Name: project})
	if err != nil {
		return Sight{}
	}
	ailing := display.Ailing(containers, services, inv.Now())
	for i := range ailing {
		ailing[i] = inv.Mask.Text(ailing[i])
	}
	return Sight{addresses(containers, services), ailing}
}

// addresses are where the published services answer: those that look like
// web pages as a URL to click, up to three.
func addresses(containers []planner.Container, services []string) []string {
	var out []string
	for _, c := range containers {
		if c.OneOff || !slices.Contains(services, c.Service) || c.State == planner.Created || c.State == planner.Exited {
			continue // nobody answers there
		}
		for _, b := range c.Published {
			if b.Protocol == "udp" || !IsWebPort(b.Target) {
				continue
			}
			if url := webAddress(b); !slices.Contains(out, url) {
				out = append(out, url)
			}
		}
	}
	slices.Sort(out)
	return out[:min(3, len(out))]
}

func webAddress(b planner.Binding) string {
	host := b.HostIP
	switch host {
	case "", "0.0.0.0", "::", "127.0.0.1", "::1":
		host = "localhost"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return WebScheme(b.Target) + "://" + host + ":" + strconv.Itoa(b.HostPort)
}

// WebScheme is the scheme of URLs to a port.
func WebScheme(port int) string {
	if port == 443 || port == 8443 {
		return "https"
	}
	return "http"
}

// IsWebPort says whether a port is one where web pages are usually served;
// databases and the like are not worth a click.
func IsWebPort(port int) bool {
	switch port {
	case 80, 443, 1313, 3000, 3001, 4000, 4200, 5000, 5173, 7000, 8000, 8001, 8008, 8080, 8081, 8088, 8443, 8888, 9000, 9090:
		return true
	}
	return false
}
