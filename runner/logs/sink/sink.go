// Package sink sends lines of logs to receivers, as the logging drivers of Docker
// that go by the same names: syslog, journald and fluentd. It makes no decision about
// what is kept, nor when something is tried again.
package sink

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/logtag"
)

// Config is that of the log of a container in a file.
func Config(rec *supervisor.Record, path string) logs.Config {
	cfg := logs.Config{
		Path:   path,
		Origin: logs.Origin{ID: rec.ID, Container: rec.Name, Service: rec.Service, Number: rec.Number, OneOff: rec.OneOff},
	}
	l := rec.Applied.Service.Logging
	cfg.Keep = retention(l.Retention())
	if l.IsRemote() {
		cfg.To = delivery(l, infoOf(rec, l))
	}
	return cfg
}

// hiddenSize bounds a file of what is kept only until it is sent.
const hiddenSize = 2 << 20

func retention(r spec.Retention) logs.Retention {
	if r.Hidden && r.Size == 0 {
		r.Size = hiddenSize
	}
	return logs.Retention(r)
}

// infoOf is what a container's tag may speak of.
func infoOf(rec *supervisor.Record, l *spec.Logging) *logtag.Info {
	s := rec.Applied.Service
	info := &logtag.Info{
		Config: map[string]string{}, ContainerID: rec.ID, ContainerName: "/" + rec.Name,
		ContainerImageID: rec.Applied.Image, ContainerImageName: rec.Image, ContainerCreated: rec.CreatedAt,
		ContainerLabels: supervisor.Labels(&rec.Metadata), DaemonName: "orlop",
	}
	if l != nil {
		info.Config = l.Options
	}
	if len(rec.Command) > 0 {
		info.ContainerEntrypoint, info.ContainerArgs = rec.Command[0], rec.Command[1:]
	}
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		if v := s.Environment[name]; v != nil {
			info.ContainerEnv = append(info.ContainerEnv, name+"="+*v)
		}
	}
	info.Host, _ = os.Hostname()
	return info
}

// delivery is how lines are sent. An option that can't be carried out, such as a tag of
// an engine before this one, fails with each line, and with each start.
func delivery(l *spec.Logging, info *logtag.Info) logs.Delivery {
	var d logs.Delivery
	var err error
	switch l.Name() {
	case spec.LogSyslog:
		d, err = newSyslog(l, info)
	case spec.LogJournald:
		d, err = newJournald(l, info, journalSocket)
	case spec.LogFluentd:
		d, err = newFluentd(l, info)
	}
	if err != nil {
		d = logs.Delivery{Sink: broken{err}, Name: l.Name(), Reach: func(context.Context) error { return err }}
	}
	return d
}

// broken is a sink of options that say nothing whole.
type broken struct{ err error }

func (b broken) Send(context.Context, *logs.Entry) error { return b.err }
func (b broken) Close() error                            { return nil }

// duration is an option that was checked.
func duration(l *spec.Logging, name string) time.Duration {
	d, _ := time.ParseDuration(l.Option(name))
	return d
}

func isSet(l *spec.Logging, name string) bool {
	set, _ := strconv.ParseBool(cmp.Or(l.Option(name), "false"))
	return set
}

// unreachable says that a receiver is not there, without what the address says anyhow.
func unreachable(name string, err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); strings.HasPrefix(text, "dial ") && i >= 0 {
		text = text[i+2:]
	}
	return fmt.Errorf("cannot reach %s: %s", name, text)
}
