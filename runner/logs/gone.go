package logs

import (
	"os"
	"time"
)

// gonePath is where it stands up to when the lines of a log that is sent are gone from
// here. Beside the mark of what was sent it tells the next engine what was lost.
func (w *Log) gonePath() string { return w.path + ".gone" }

// stampFile gives the file that is full the time of its last line, by which it is known
// what goes with it. One that an engine before this one wrote has a time a little later.
func (w *Log) stampFile() {
	if !w.newest.IsZero() {
		_ = os.Chtimes(w.path, w.newest, w.newest)
	}
}

// noteGone notes that a file is about to go, where somebody is to be sent its lines. The
// caller holds mu.
func (w *Log) noteGone(i int) {
	if w.sender == nil {
		return
	}
	for _, end := range []string{"", zipped} {
		st, err := os.Stat(numbered(w.path, i) + end)
		if err != nil {
			continue
		}
		if err := writeStamp(w.gonePath(), st.ModTime()); err != nil {
			w.log.Warn("cannot note which lines of a container are gone", "container", w.origin.Container, "error", err)
		}
		return
	}
}

// stampForm is as long for every time: a reader sees one stamp or the other.
const stampForm = "2006-01-02T15:04:05.000000000Z\n"

func writeStamp(path string, at time.Time) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte(at.UTC().Format(stampForm)), 0)
	return err
}

// readStamp is zero where there is none.
func readStamp(path string) time.Time {
	text, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}
	}
	at, err := time.Parse(stampForm, string(text))
	if err != nil {
		return time.Time{}
	}
	return at
}
