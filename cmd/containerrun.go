package cmd

import (
	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/oneoff"
	"github.com/orlop/orlop/cmd/terminal"
)

func (a *app) containerRunCommand() *cobra.Command {
	var o oneoff.Image
	c := &cobra.Command{
		Use:   "run IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a new container of an image, without a stack file",
		Example: "  orlop container run -it --rm alpine sh\n" +
			"  orlop container run -d --name web -p 8080:80 -v ./site:/usr/share/nginx/html:ro nginx",
		Args: cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, args []string) error {
			o.EntrypointSet = c.Flags().Changed("entrypoint")
			return oneoff.RunImage(c.Context(), a.Invocation, args[0], args[1:], o)
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringArrayVar(&o.AddHosts, "add-host", nil, "`NAME:ADDRESS` that the container knows")
	f.StringArrayVar(&o.CapAdd, "cap-add", nil, "`capability` to add")
	f.StringArrayVar(&o.CapDrop, "cap-drop", nil, "`capability` to drop")
	f.StringVar(&o.CPUs, "cpus", "", "`cores` that it may take: 1.5")
	f.BoolVarP(&o.Detach, "detach", "d", false, "run it in the background and print its name")
	f.StringVar(&o.DetachKeys, "detach-keys", terminal.DefaultDetachKeys, "`keys` that let go of the terminal and leave the command running; none: \"\"")
	f.StringArrayVar(&o.DNS, "dns", nil, "`address` of a name server")
	f.StringVar(&o.Entrypoint, "entrypoint", "", "`command` in place of the entrypoint")
	f.StringArrayVarP(&o.Environment, "env", "e", nil, "`NAME=value` to set")
	f.StringArrayVar(&o.EnvFiles, "env-from-file", nil, "`file` with variables to set")
	f.StringArrayVar(&o.Groups, "group-add", nil, "`group` that the command is of too")
	f.StringVarP(&o.Hostname, "hostname", "h", "", "`name` that the container has for itself")
	f.BoolVar(&o.Init, "init", false, "a process that reaps what the command leaves behind")
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "connect standard input; of a detached container, keep it open")
	f.StringVar(&o.IPC, "ipc", "", "`namespace` of shared memory: private, shareable, host, container:NAME")
	f.StringArrayVarP(&o.Labels, "label", "l", nil, "`NAME=value` to label it with")
	f.StringVarP(&o.Memory, "memory", "m", "", "`bytes` of memory that it may take: 512m")
	f.StringVar(&o.Name, "name", "", "`name` of the container; without it one that tells the image")
	f.StringVar(&o.Network, "network", "", "`network` to be on: one of network ls, host, none, or container:NAME; without it the one that such containers share")
	f.StringVar(&o.PID, "pid", "", "`namespace` of processes: host, container:NAME")
	f.StringVar(&o.Platform, "platform", "", "the image of a `platform`")
	f.BoolVar(&o.Privileged, "privileged", false, "give it every capability and device")
	f.StringArrayVarP(&o.Publish, "publish", "p", nil, "publish a `port`: 8080:80")
	f.BoolVarP(&o.PublishAll, "publish-all", "P", false, "publish all ports that the image exposes on free ones")
	f.StringVar(&o.Pull, "pull", "", "pull the image: always, missing or never")
	f.BoolVar(&o.ReadOnly, "read-only", false, "its file system is read-only")
	f.BoolVar(&o.Remove, "rm", false, "remove the container when its command has ended")
	f.StringArrayVar(&o.SecurityOptions, "security-opt", nil, "`option` of its confinement")
	f.StringVar(&o.ShmSize, "shm-size", "", "`bytes` of /dev/shm")
	f.StringArrayVar(&o.Tmpfs, "tmpfs", nil, "`directory` in memory")
	f.BoolVarP(&o.Terminal, "tty", "t", false, "a terminal for the command")
	f.StringVarP(&o.User, "user", "u", "", "`user` to run as")
	f.StringVar(&o.UTS, "uts", "", "`namespace` of the host's name: host")
	f.StringArrayVarP(&o.Volumes, "volume", "v", nil, "mount a `volume` or a path: data:/data, ./src:/src:ro")
	f.StringVarP(&o.WorkingDir, "workdir", "w", "", "`directory` to run in")
	c.Flags().Bool("help", false, "help for run") // -h is the hostname's, as Docker has it
	return c
}
