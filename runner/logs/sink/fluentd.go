package sink

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/logtag"
)

// Defaults of Docker's driver.
const (
	fluentdHost = "127.0.0.1"
	fluentdPort = "24224"
)

// fluentd sends lines to a fluentd or Fluent Bit by the forward protocol, each as an
// event of its own (Message mode).
type fluentd struct {
	tag        string
	record     map[string]string // what is in each event
	isExact    bool              // times are to the nanosecond
	isAnswered bool              // the receiver says what it has
	wire       wire
}

func newFluentd(l *spec.Logging, info *logtag.Info) (logs.Delivery, error) {
	tag, err := logtag.Expand(l.Option("tag"), info)
	if err != nil {
		return logs.Delivery{}, err
	}
	record, err := info.ExtraAttributes(nil)
	if err != nil {
		return logs.Delivery{}, err
	}
	maps.Copy(record, map[string]string{"container_id": info.FullID(), "container_name": info.ContainerName})
	f := &fluentd{tag: tag, record: record, isExact: isSet(l, "fluentd-sub-second-precision"), isAnswered: isSet(l, "fluentd-request-ack")}
	f.wire.patience, f.wire.oldest = duration(l, "fluentd-write-timeout"), duration(l, "fluentd-async-reconnect-interval")
	if err := f.connectTo(l.Option("fluentd-address")); err != nil {
		return logs.Delivery{}, err
	}
	name := "fluentd at " + f.wire.address
	d := logs.Delivery{Sink: f, Name: name, Wait: duration(l, "fluentd-retry-wait")}
	d.Tries, _ = strconv.Atoi(l.Option("fluentd-max-retries"))
	if !isSet(l, "fluentd-async") {
		d.Reach = func(ctx context.Context) error {
			if err := f.wire.copy().reach(ctx); err != nil {
				return unreachable(name, err)
			}
			return nil
		}
	}
	return d, nil
}

func (f *fluentd) connectTo(address string) error {
	address = cmp.Or(address, fluentdHost)
	if !strings.Contains(address, "://") {
		address = "tcp://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("fluentd at %q is not possible", address)
	}
	if u.Scheme == "unix" {
		f.wire.network, f.wire.address = "unix", u.Path
		return nil
	}
	f.wire.network, f.wire.address = "tcp", net.JoinHostPort(cmp.Or(u.Hostname(), fluentdHost), cmp.Or(u.Port(), fluentdPort))
	if u.Scheme == "tls" {
		f.wire.tls = func() (*tls.Config, error) {
			return &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}, nil
		}
	}
	return nil
}

// Send implements logs.Sink.
func (f *fluentd) Send(ctx context.Context, e *logs.Entry) error {
	chunk := ""
	if f.isAnswered {
		chunk = rand.Text()
	}
	if err := f.wire.write(ctx, f.event(e, chunk), !f.isAnswered); err != nil || !f.isAnswered {
		return err
	}
	if err := f.awaitAnswer(ctx, chunk); err != nil {
		f.wire.close()
		return fmt.Errorf("no acknowledgement: %w", err)
	}
	return nil
}

// event is a line as it is sent: [tag, time, record, option].
func (f *fluentd) event(e *logs.Entry, chunk string) []byte {
	record := maps.Clone(f.record)
	record["source"], record["log"] = "stdout", string(e.Text)
	if e.Stderr {
		record["source"] = "stderr"
	}
	if p := e.Piece; p != nil {
		record["partial_message"], record["partial_id"] = "true", p.Line
		record["partial_ordinal"], record["partial_last"] = strconv.Itoa(p.Index), strconv.FormatBool(p.Last)
	}
	out := packText(packArray(nil, 4), f.tag)
	if f.isExact {
		out = packEventTime(out, e.Time)
	} else {
		out = packSeconds(out, e.Time)
	}
	option := map[string]string{}
	if chunk != "" {
		option["chunk"] = chunk
	}
	return packTexts(packTexts(out, record), option)
}

// awaitAnswer reads {"ack": CHUNK}.
func (f *fluentd) awaitAnswer(ctx context.Context, chunk string) error {
	conn := f.wire.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	_ = conn.SetReadDeadline(time.Now().Add(writePatience))
	var answer []byte
	buf := make([]byte, 256)
	for len(answer) < 1<<10 {
		n, err := conn.Read(buf)
		if answer = append(answer, buf[:n]...); bytes.Contains(answer, []byte(chunk)) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("the receiver says something else")
}

// Close implements logs.Sink.
func (f *fluentd) Close() error { return f.wire.close() }
