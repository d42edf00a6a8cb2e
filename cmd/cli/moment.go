package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Moment reads a time as logs takes it: a span before now, a date, or Unix
// seconds. Empty is 0.
func Moment(flag, text string, now time.Time) (unixNs int64, err error) {
	if text == "" {
		return 0, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d).UnixNano(), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.UnixNano(), nil
		}
	}
	whole, fraction, _ := strings.Cut(text, ".")
	s, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || len(fraction) > 9 {
		return 0, fmt.Errorf("--%s is %q: it must be a duration (10m), a date (2026-01-31T15:04:05Z) or seconds of Unix time", flag, text)
	}
	var ns int64
	if fraction != "" {
		if ns, err = strconv.ParseInt(fraction+strings.Repeat("0", 9-len(fraction)), 10, 64); err != nil {
			return 0, fmt.Errorf("--%s is %q: it is not a time", flag, text)
		}
	}
	return s*int64(time.Second) + ns, nil
}
