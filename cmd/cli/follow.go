package cli

import (
	"context"
	"errors"
	"io"

	"github.com/orlop/orlop/api"
)

// AcrossEngines does what lasts longer than an engine: once is called again by
// the next one as long as the engine goes away in the middle.
func AcrossEngines(ctx context.Context, once func() error) error {
	for {
		if err := once(); !errors.Is(api.Cause(err), api.ErrLost) || ctx.Err() != nil {
			return err
		}
	}
}

// ReadLines gives each line that a request for logs asks for, which is valid until each
// returns. A request that follows outlives the engine: with the next one it goes on after
// the last line of each container.
func ReadLines(ctx context.Context, client *api.Client, req *api.LogsRequest, each func(*api.LogLine)) error {
	return readLines(ctx, client, req, each, func() {})
}

// LinePrinter prints lines: those that were added, once it is flushed.
type LinePrinter interface {
	Add(*api.LogLine)
	Flush()
}

// PrintLines is ReadLines for a printer, which is flushed after the lines that came
// together.
func PrintLines(ctx context.Context, client *api.Client, req *api.LogsRequest, to LinePrinter) error {
	return readLines(ctx, client, req, to.Add, to.Flush)
}

// readLines is ReadLines; came is told after the lines that came together.
func readLines(ctx context.Context, client *api.Client, req *api.LogsRequest, each func(*api.LogLine), came func()) error {
	req.Batched = true
	last := map[string]int64{} // container ID -> time of its last line
	if !req.Follow {
		return readLinesOnce(ctx, client, req, last, each, came)
	}
	return AcrossEngines(ctx, func() error {
		err := readLinesOnce(ctx, client, req, last, each, came)
		req.Tail = -1
		for _, at := range last {
			if req.SinceUnixNs == 0 || at < req.SinceUnixNs {
				req.SinceUnixNs = at
			}
		}
		return err
	})
}

func readLinesOnce(ctx context.Context, client *api.Client, req *api.LogsRequest, last map[string]int64, each func(*api.LogLine), came func()) error {
	seen := make(map[string]int64, len(last))
	for id, at := range last {
		seen[id] = at
	}
	stream, err := client.Logs(ctx, req)
	if err != nil {
		return err
	}
	one := func(line *api.LogLine) {
		if at, ok := seen[line.ContainerId]; ok && line.TimeUnixNs <= at {
			return // it was shown before the engine went away
		}
		last[line.ContainerId] = line.TimeUnixNs
		each(line)
	}
	for {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if line.Batch == nil {
			one(line)
		} else if err := unpack(line.Batch, one); err != nil {
			return err
		}
		came()
	}
}

// unpack gives the lines of a batch.
func unpack(b *api.LogBatch, each func(*api.LogLine)) error {
	text := b.Text
	for i, kind := range b.Kinds {
		place := int(kind >> 2)
		if place >= len(b.Containers) || i >= len(b.Lengths) || i >= len(b.TimesUnixNs) || int(b.Lengths[i]) > len(text) {
			return errors.New("internal error: the engine sent lines of a log that do not fit together")
		}
		line := b.Containers[place]
		line.TimeUnixNs, line.Stderr, line.Partial, line.Text = b.TimesUnixNs[i], kind&2 != 0, kind&1 != 0, text[:b.Lengths[i]]
		text = text[b.Lengths[i]:]
		each(line)
	}
	return nil
}
