package sink

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/logtag"
)

// journalSocket is where journald takes messages in its own protocol.
const journalSocket = "/run/systemd/journal/socket"

// journald sends lines to the journal, with the fields of Docker's driver.
type journald struct {
	fields []byte // those of each message
	wire   wire
}

func newJournald(l *spec.Logging, info *logtag.Info, socket string) (logs.Delivery, error) {
	tag, err := logtag.Expand(l.Option("tag"), info)
	if err != nil {
		return logs.Delivery{}, err
	}
	extra, err := info.ExtraAttributes(journalName)
	if err != nil {
		return logs.Delivery{}, err
	}
	var out bytes.Buffer
	for _, f := range [][2]string{
		{"CONTAINER_ID", info.ID()}, {"CONTAINER_ID_FULL", info.FullID()}, {"CONTAINER_NAME", info.Name()},
		{"CONTAINER_TAG", tag}, {"IMAGE_NAME", info.ImageName()}, {"SYSLOG_IDENTIFIER", tag},
	} {
		journalField(&out, f[0], []byte(f[1]))
	}
	for name, value := range extra {
		if name != "" {
			journalField(&out, name, []byte(value))
		}
	}
	j := &journald{fields: out.Bytes(), wire: wire{network: "unixgram", address: socket}}
	return logs.Delivery{Sink: j, Name: "journald", Reach: func(ctx context.Context) error {
		if err := j.wire.copy().reach(ctx); err != nil {
			return unreachable("journald at "+socket, err)
		}
		return nil
	}}, nil
}

// Send implements logs.Sink. Lines are shorter than what a datagram holds.
func (j *journald) Send(ctx context.Context, e *logs.Entry) error {
	return j.wire.write(ctx, j.message(e), false)
}

// message is a line in the native protocol of the journal.
func (j *journald) message(e *logs.Entry) []byte {
	severity := severityInfo
	if e.Stderr {
		severity = severityError
	}
	var out bytes.Buffer
	journalField(&out, "MESSAGE", e.Text)
	journalField(&out, "PRIORITY", []byte(strconv.Itoa(severity)))
	journalField(&out, "SYSLOG_TIMESTAMP", []byte(e.Time.UTC().Format("2006-01-02T15:04:05.000000000Z")))
	if p := e.Piece; p != nil {
		if !p.Last {
			journalField(&out, "CONTAINER_PARTIAL_MESSAGE", []byte("true"))
		}
		journalField(&out, "CONTAINER_PARTIAL_ID", []byte(p.Line))
		journalField(&out, "CONTAINER_PARTIAL_ORDINAL", []byte(strconv.Itoa(p.Index)))
		journalField(&out, "CONTAINER_PARTIAL_LAST", []byte(strconv.FormatBool(p.Last)))
	}
	out.Write(j.fields)
	return out.Bytes()
}

// Close implements logs.Sink.
func (j *journald) Close() error { return j.wire.close() }

// journalField writes a field; a value with more than one line has its length before it.
func journalField(out *bytes.Buffer, name string, value []byte) {
	out.WriteString(name)
	if bytes.IndexByte(value, '\n') < 0 {
		out.WriteByte('=')
	} else {
		out.WriteByte('\n')
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(value)))
		out.Write(size[:])
	}
	out.Write(value)
	out.WriteByte('\n')
}

// journalName is the name of a label or variable as that of a field: the journal takes
// capital letters, digits and underscores, the first no underscore.
func journalName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToUpper(name))
	return strings.TrimLeft(clean, "_")
}
