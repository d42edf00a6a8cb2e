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

// ReadLines gives each line that a request for logs asks for. A request that
// follows outlives the engine: with the next one it goes on after the last
// line of each container.
func ReadLines(ctx context.Context, client *api.Client, req *api.LogsRequest, each func(*api.LogLine)) error {
	last := map[string]int64{} // container ID -> time of its last line
	if !req.Follow {
		return readLinesOnce(ctx, client, req, last, each)
	}
	return AcrossEngines(ctx, func() error {
		err := readLinesOnce(ctx, client, req, last, each)
		req.Tail = -1
		for _, at := range last {
			if req.SinceUnixNs == 0 || at < req.SinceUnixNs {
				req.SinceUnixNs = at
			}
		}
		return err
	})
}

func readLinesOnce(ctx context.Context, client *api.Client, req *api.LogsRequest, last map[string]int64, each func(*api.LogLine)) error {
	seen := make(map[string]int64, len(last))
	for id, at := range last {
		seen[id] = at
	}
	stream, err := client.Logs(ctx, req)
	if err != nil {
		return err
	}
	for {
		line, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if at, ok := seen[line.ContainerId]; ok && line.TimeUnixNs <= at {
			continue // it was shown before the engine went away
		}
		last[line.ContainerId] = line.TimeUnixNs
		each(line)
	}
}
