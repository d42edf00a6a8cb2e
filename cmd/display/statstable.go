package display

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/orlop/orlop/api"
)

// StatsLine is a measurement as "stats --format json" prints it: the fields and
// words of Docker, then ours as numbers.
type StatsLine struct {
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

// StatsHeaders are what tables call the fields of a measurement.
func StatsHeaders() map[string]any {
	return map[string]any{
		"BlockIO": "BLOCK I/O", "CPUPerc": "CPU %", "Container": "CONTAINER", "ID": "CONTAINER ID", "MemPerc": "MEM %", "MemUsage": "MEM USAGE / LIMIT", "Name": "NAME", "NetIO": "NET I/O", "PIDs": "PIDS",
		"Service": "SERVICE", "Number": "NUMBER", "CPUPercent": "CPU PERCENT", "Memory": "MEMORY", "MemoryLimit": "MEMORY LIMIT", "NetReceived": "NET RECEIVED", "NetSent": "NET SENT",
		"BlockRead": "BLOCK READ", "BlockWritten": "BLOCK WRITTEN",
	}
}

// StatsJSON is a measurement as "stats --format json" prints it.
func StatsJSON(c *api.ContainerStats) StatsLine {
	return StatsLine{
		BlockIO: pair(c.ReadBytes, c.WrittenBytes, moved), CPUPerc: percent(c.CpuPercent), Container: c.Id[:min(12, len(c.Id))], ID: c.Id,
		MemPerc: percent(memoryPercent(c)), MemUsage: pair(c.MemoryBytes, c.MemoryLimitBytes, held), Name: c.Name,
		NetIO: pair(c.NetReceivedBytes, c.NetSentBytes, moved), PIDs: strconv.Itoa(int(c.ProcessCount)),
		Service: c.Service, Number: c.Number, CPUPercent: c.CpuPercent, Memory: c.MemoryBytes, MemoryLimit: c.MemoryLimitBytes,
		NetReceived: c.NetReceivedBytes, NetSent: c.NetSentBytes, BlockRead: c.ReadBytes, BlockWritten: c.WrittenBytes,
	}
}

func pair(a, b int64, text func(int64) string) string { return text(a) + " / " + text(b) }

// held is a size of memory in Docker's words, which scripts cut up: "2.384MiB".
func held(bytes int64) string {
	return dockerSize(bytes, 1024, 4, "B", "KiB", "MiB", "GiB", "TiB", "PiB")
}

// moved is how much went over a network or to a disk, in Docker's words: "1.5kB".
func moved(bytes int64) string { return dockerSize(bytes, 1000, 3, "B", "kB", "MB", "GB", "TB", "PB") }

func dockerSize(bytes int64, step float64, digits int, units ...string) string {
	size := float64(bytes)
	for size+0.5 >= step && len(units) > 1 { // before it is rounded to one more digit
		size, units = size/step, units[1:]
	}
	return strconv.FormatFloat(size, 'g', digits, 64) + units[0]
}

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

// StatsTable is what containers use, as rows of text.
func StatsTable(r *api.StatsReply) []string {
	rows := [][]string{{"CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"}}
	for _, c := range r.Containers {
		l := StatsJSON(c)
		rows = append(rows, []string{l.Container, l.Name, l.CPUPerc, l.MemUsage, l.MemPerc, l.NetIO, l.BlockIO, l.PIDs})
	}
	return tabled(rows)
}

// ProcessTable are the processes of each container as ps shows them, those that work most first.
func ProcessTable(r *api.StatsReply, now time.Time) []string {
	rows := [][]string{{"SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "MEM", "CMD"}}
	for _, c := range r.Containers {
		list := slices.SortedStableFunc(slices.Values(c.Processes), func(x, y *api.ProcessStats) int {
			return cmp.Or(-cmp.Compare(x.CpuPercent, y.CpuPercent), cmp.Compare(x.Pid, y.Pid))
		})
		for _, p := range list {
			used := p.CpuMs / 1000
			rows = append(rows, []string{
				c.Service, strconv.Itoa(int(c.Number)), strconv.Itoa(int(p.Uid)), strconv.Itoa(int(p.Pid)), strconv.Itoa(int(p.Ppid)), strconv.Itoa(int(p.CpuPercent)),
				startTime(time.UnixMilli(p.StartedUnixMs), now), cmp.Or(p.Terminal, "?"), fmt.Sprintf("%02d:%02d:%02d", used/3600, used/60%60, used%60),
				Bytes(p.MemoryBytes), Printable(p.Command),
			})
		}
	}
	return tabled(rows)
}

// startTime is when a process began: the time of today, the day of this year, the year.
func startTime(at, now time.Time) string {
	at = at.In(now.Location())
	switch {
	case at.YearDay() == now.YearDay() && at.Year() == now.Year():
		return at.Format("15:04")
	case at.Year() == now.Year():
		return at.Format("Jan02")
	}
	return at.Format("2006")
}
