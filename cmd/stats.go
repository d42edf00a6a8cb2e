package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
)

// statsFlags are those of stats and top.
type statsFlags struct {
	once   bool
	format string
}

func (a *app) statsCommand() *cobra.Command {
	var f statsFlags
	c := &cobra.Command{
		Use:   "stats [SERVICE...]",
		Short: "Show what containers use: processor, memory, network, disk",
		Example: "  orlop stats                            live, each second\n" +
			"  orlop stats --no-stream --format json  one measurement, a line of JSON a container",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if err := choice("format", f.format, "table", "json"); err != nil {
				return err
			}
			return a.measure(c.Context(), args, f, false)
		},
	}
	c.Flags().BoolVar(&f.once, "no-stream", false, "measure for a second and return")
	c.Flags().StringVar(&f.format, "format", "table", "table or json")
	return c
}

func (a *app) topCommand() *cobra.Command {
	var f statsFlags
	c := &cobra.Command{
		Use:   "top [SERVICE...]",
		Short: "Show the processes of containers",
		Example: "  orlop top api          live on a terminal, else once\n" +
			"  orlop top --no-stream  once",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			f.format = "table"
			f.once = f.once || !IsTerminal(a.Stdout)
			return a.measure(c.Context(), args, f, true)
		},
	}
	c.Flags().BoolVar(&f.once, "no-stream", false, "show them once and return")
	return c
}

// measure shows what the engine measures, until it is interrupted or the first
// whole measurement is there.
func (a *app) measure(ctx context.Context, services []string, f statsFlags, processes bool) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	s, err := a.Identify(ctx, services)
	if err != nil {
		return err
	}
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	frames := &canvas{w: a.Stdout}
	show := func(r *api.StatsReply) error { return a.showStats(r, f, processes, frames) }
	for {
		err := watchStats(ctx, client, &api.StatsRequest{Project: s.Name, Services: services, Processes: processes}, f.once, show)
		if !errors.Is(err, api.ErrLost) || ctx.Err() != nil {
			return err
		}
	}
}

// watchStats passes measurements on. The first one has no rates of its own yet:
// they are those since the start of each container.
func watchStats(ctx context.Context, client *api.Client, req *api.StatsRequest, once bool, show func(*api.StatsReply) error) error {
	stream, err := client.Stats(ctx, req)
	if err != nil {
		return Cause(ctx, err)
	}
	for n := 0; ; n++ {
		reply, err := stream.Recv()
		if err != nil {
			return Cause(ctx, err)
		}
		if n == 0 && !req.Processes {
			continue
		}
		if err := show(reply); err != nil || once {
			return err
		}
	}
}

func (a *app) showStats(r *api.StatsReply, f statsFlags, processes bool, frames *canvas) error {
	slices.SortFunc(r.Containers, func(x, y *api.ContainerStats) int { return strings.Compare(x.Name, y.Name) })
	if f.format == "json" {
		enc := json.NewEncoder(a.Stdout)
		for _, c := range r.Containers {
			if err := enc.Encode(statsJSON(c)); err != nil {
				return err
			}
		}
		return nil
	}
	table := statsTable(r)
	if processes {
		table = processTable(r)
	}
	if f.once || !IsTerminal(a.Stdout) {
		_, err := fmt.Fprint(a.Stdout, lines(table))
		return err
	}
	columns, rows := size(a.Stdout)
	for i := range table {
		table[i] = clip(table[i], columns-1)
	}
	frames.draw(table[:min(len(table), max(1, rows-1))], columns)
	return nil
}

// statsLine is a measurement as "stats --format json" prints it: the fields and
// words of Docker, then ours as numbers.
type statsLine struct {
	BlockIO   string
	CPUPerc   string
	Container string
	ID        string
	MemPerc   string
	MemUsage  string
	Name      string
	NetIO     string
	PIDs      string

	Service      string
	Number       int32
	CPUPercent   float64 // of one core
	Memory       int64   // bytes, as the others
	MemoryLimit  int64
	NetReceived  int64
	NetSent      int64
	BlockRead    int64
	BlockWritten int64
}

func statsJSON(c *api.ContainerStats) statsLine {
	return statsLine{
		BlockIO: pair(c.ReadBytes, c.WrittenBytes), CPUPerc: percent(c.CpuPercent), Container: c.Id[:min(12, len(c.Id))], ID: c.Id,
		MemPerc: percent(memoryPercent(c)), MemUsage: pair(c.MemoryBytes, c.MemoryLimitBytes), Name: c.Name,
		NetIO: pair(c.NetReceivedBytes, c.NetSentBytes), PIDs: strconv.Itoa(int(c.ProcessCount)),
		Service: c.Service, Number: c.Number, CPUPercent: c.CpuPercent, Memory: c.MemoryBytes, MemoryLimit: c.MemoryLimitBytes,
		NetReceived: c.NetReceivedBytes, NetSent: c.NetSentBytes, BlockRead: c.ReadBytes, BlockWritten: c.WrittenBytes,
	}
}

func pair(a, b int64) string { return bytesText(a) + " / " + bytesText(b) }

func percent(p float64) string { return fmt.Sprintf("%.2f%%", p) }

func memoryPercent(c *api.ContainerStats) float64 {
	if c.MemoryLimitBytes == 0 {
		return 0
	}
	return 100 * float64(c.MemoryBytes) / float64(c.MemoryLimitBytes)
}

// tabled sets rows of cells in columns.
func tabled(rows [][]string) []string {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func statsTable(r *api.StatsReply) []string {
	rows := [][]string{{"NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"}}
	for _, c := range r.Containers {
		l := statsJSON(c)
		rows = append(rows, []string{l.Name, l.CPUPerc, l.MemUsage, l.MemPerc, l.NetIO, l.BlockIO, l.PIDs})
	}
	return tabled(rows)
}

// processTable are the processes of each container, those that work most first.
func processTable(r *api.StatsReply) []string {
	rows := [][]string{{"CONTAINER", "UID", "PID", "PPID", "CPU %", "MEM", "TIME", "COMMAND"}}
	for _, c := range r.Containers {
		list := slices.SortedStableFunc(slices.Values(c.Processes), func(x, y *api.ProcessStats) int {
			switch {
			case x.CpuPercent > y.CpuPercent:
				return -1
			case x.CpuPercent < y.CpuPercent:
				return 1
			}
			return int(x.Pid - y.Pid)
		})
		for _, p := range list {
			rows = append(rows, []string{
				c.Name, strconv.Itoa(int(p.Uid)), strconv.Itoa(int(p.Pid)), strconv.Itoa(int(p.Ppid)), percent(p.CpuPercent),
				bytesText(p.MemoryBytes), clock(time.Duration(p.CpuMs) * time.Millisecond), printable(p.Command),
			})
		}
	}
	return tabled(rows)
}
