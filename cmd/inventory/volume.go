package inventory

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/format"
)

// Volume are the verbs about volumes.
func (v *Verbs) Volume() []*cobra.Command {
	k := resourceKind{kind: "volume", driver: "local", header: volumeHeader, format: volumeFormat(), list: volumeThings, remove: removeVolume}
	return []*cobra.Command{v.volumeCreate(k), v.listing(k), v.removal(k), v.inspection(k), v.volumePrune(k)}
}

const volumeHeader = "NAME\tDRIVER\tPROJECT\tUSED BY"

func (v *Verbs) volumeCreate(k resourceKind) *cobra.Command {
	var by madeBy
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a volume that belongs to no stack", Example: "  orlop volume create data", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			labels, err := by.read(k)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				if v.Of().DryRun {
					v.Of().Foresay("+ volume " + args[0])
					return nil
				}
				_, err := client.CreateVolume(ctx, &api.VolumeInfo{Name: args[0], Labels: labels})
				if err == nil {
					fmt.Fprintln(v.Of().Stdout, args[0])
				}
				return err
			})
		},
	}
	by.flags(c, k)
	return c
}

// volumeLine is a volume as "volume ls --format json" prints it.
type volumeLine struct {
	Driver, Labels, Mountpoint, Name, Scope string
	labels                                  map[string]string
}

// Label is the value of a label.
func (l volumeLine) Label(name string) string { return l.labels[name] }

func volumeFormat() func(string) (printing, error) {
	return formatted[volumeLine]("volumes", format.Headers{
		"Driver": "DRIVER", "Labels": "LABELS", "Mountpoint": "MOUNTPOINT", "Name": "VOLUME NAME", "Scope": "SCOPE",
	})
}

// volumeDocument is a volume as "volume inspect" prints it.
type volumeDocument struct {
	CreatedAt  string
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      string
}

func volumeThings(ctx context.Context, client *api.Client) ([]resource, error) {
	reply, err := client.Volumes(ctx, &api.VolumesRequest{})
	if err != nil {
		return nil, err
	}
	var list []resource
	for _, v := range reply.Volumes {
		labels := withProject(v.Labels, v.Project, "volume", v.Key)
		if v.Anonymous {
			labels["com.docker.volume.anonymous"] = ""
		}
		list = append(list, resource{
			name: v.Name, labels: labels, dangles: len(v.Users) == 0, project: v.Project, users: v.Users, anonymous: v.Anonymous,
			columns: []string{v.Name, "local", cmp.Or(v.Project, "-"), cmp.Or(strings.Join(v.Users, ", "), "-")},
			line:    volumeLine{Driver: "local", Labels: labelText(labels), Mountpoint: v.Path, Name: v.Name, Scope: "local", labels: labels},
			inspect: volumeDocument{
				CreatedAt: time.UnixMilli(v.CreatedUnixMs).UTC().Format(time.RFC3339), Driver: "local", Labels: labels,
				Mountpoint: v.Path, Name: v.Name, Scope: "local",
			},
		})
	}
	return list, nil
}

func removeVolume(ctx context.Context, client *api.Client, name string) (absent bool, err error) {
	reply, err := client.RemoveVolume(ctx, &api.RemoveVolumeRequest{Name: name})
	return reply.GetAbsent(), err
}
