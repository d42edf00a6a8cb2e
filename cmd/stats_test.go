package cmd_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
)

func measured() *api.StatsReply {
	return &api.StatsReply{Containers: []*api.ContainerStats{
		{Id: "0123456789abcdef", Name: "shop-web-1", Service: "web", Number: 1, CpuPercent: 12.345, MemoryBytes: 2_500_000, MemoryLimitBytes: 10_000_000,
			NetReceivedBytes: 1500, NetSentBytes: 20, ReadBytes: 4096, ProcessCount: 2, Processes: []*api.ProcessStats{
				{Pid: 11, Ppid: 1, Uid: 33, StartedUnixMs: then.AddDate(0, 0, -2).UnixMilli(), Terminal: "pts/1", MemoryBytes: 1_000_000, Command: "nginx: worker\x1b[2J"},
				{Pid: 10, Ppid: 1, CpuPercent: 12.3, MemoryBytes: 1_500_000, CpuMs: 61_000, StartedUnixMs: then.Add(-time.Hour).UnixMilli(), Command: "nginx -g daemon off;"},
			}},
		{Id: "fedcba9876543210", Name: "shop-db-1", Service: "db", Number: 1, MemoryBytes: 1_000_000},
	}}
}

func TestStatsShowsTheFirstWholeMeasurement(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.stats = []*api.StatsReply{{Containers: []*api.ContainerStats{{Name: "not-yet"}}}, measured()}
	stdout, stderr, _ := d.run("stats --no-stream")
	equal(t, "stats", stdout+stderr, `CONTAINER ID   NAME         CPU %    MEM USAGE / LIMIT     MEM %    NET I/O       BLOCK I/O    PIDS
fedcba987654   shop-db-1    0.00%    976.6KiB / 0B         0.00%    0B / 0B       0B / 0B      0
0123456789ab   shop-web-1   12.35%   2.384MiB / 9.537MiB   25.00%   1.5kB / 20B   4.1kB / 0B   2
`)
	stdout, _, _ = d.run("stats --no-stream --format json web")
	_, line, _ := strings.Cut(stdout, "\n")
	equal(t, "a line of JSON", line, `{"BlockIO":"4.1kB / 0B","CPUPerc":"12.35%","Container":"0123456789ab","ID":"0123456789abcdef","MemPerc":"25.00%",`+
		`"MemUsage":"2.384MiB / 9.537MiB","Name":"shop-web-1","NetIO":"1.5kB / 20B","PIDs":"2","Service":"web","Number":1,"CPUPercent":12.345,`+
		`"Memory":2500000,"MemoryLimit":10000000,"NetReceived":1500,"NetSent":20,"BlockRead":4096,"BlockWritten":0}`+"\n")
	if req := d.engine.measure; req.Project != "shop" || strings.Join(req.Services, " ") != "web" || req.Processes {
		t.Errorf("the engine was asked for %v", req)
	}
}

func TestStatsOfAllTellsOfThoseThatDoNotRun(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.stats = []*api.StatsReply{{}, measured()}
	d.engine.observed.Containers = []planner.Container{{ID: "0123456789abcdef", Name: "shop-web-1", Service: "web", Number: 1}, {ID: "down", Name: "shop-job-1", Service: "job", Number: 1}}
	stdout, stderr, _ := d.run("stats -a --no-trunc --no-stream --format {{.Container}}={{.Name}}")
	equal(t, "stats", stdout+stderr, "fedcba9876543210=shop-db-1\ndown=shop-job-1\n0123456789abcdef=shop-web-1\n")
}

func TestTopShowsProcessesOnceWithoutATerminal(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.stats = []*api.StatsReply{measured()}
	stdout, stderr, _ := d.run("top")
	equal(t, "top", stdout+stderr, `SERVICE   #   UID   PID   PPID   C    STIME   TTY     TIME       MEM      CMD
web       1   0     10    1      12   11:00   ?       00:01:01   1.5 MB   nginx -g daemon off;
web       1   33    11    1      0    Nov19   pts/1   00:00:00   1.0 MB   nginx: worker
`)
}

func TestTopOfNothingThatRunsIsEmpty(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.stats = []*api.StatsReply{{}}
	stdout, stderr, code := d.run("top")
	if equal(t, "top", stdout+stderr, ""); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// enough is a writer that says when it has a number of lines.
type enough struct {
	bytes.Buffer
	lines int
	then  func()
}

func (e *enough) Write(p []byte) (int, error) {
	e.Buffer.Write(p)
	if e.lines -= bytes.Count(p, []byte("\n")); e.lines == 0 {
		e.then()
	}
	return len(p), nil
}

func TestEventsAreLinesOfJSON(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.reached = make(chan string, 1)
	go func() {
		<-d.engine.reached
		c := planner.Container{ID: "c1", Name: "shop-web-1", Service: "web", Number: 1, State: planner.Running, CreatedAt: then, StartedAt: then.Add(time.Second)}
		d.engine.changes <- &api.ContainerChange{Container: must(api.NewContainer(c))}
	}()
	out := &enough{lines: 2, then: func() { d.signals <- nil }}
	code := cmd.Run(t.Context(), []string{"events", "--json"}, cli.World{
		Version: "v1", Dir: d.dir, Environ: []string{"ORLOP_STATE=" + d.state}, Stdout: out, Stderr: out, Signals: d.signals,
		Now: func() time.Time { return then },
	})
	equal(t, "events", out.String(), `{"time":"2026-11-21T12:00:00Z","type":"container","action":"create","id":"c1","service":"web",`+
		`"attributes":{"image":"shop-web","name":"shop-web-1","number":"1","project":"shop"}}`+"\n"+
		`{"time":"2026-11-21T12:00:01Z","type":"container","action":"start","id":"c1","service":"web",`+
		`"attributes":{"image":"shop-web","name":"shop-web-1","number":"1","project":"shop"}}`+"\n")
	if code != 130 {
		t.Errorf("exit code %d", code)
	}
}
