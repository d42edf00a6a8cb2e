package spec

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Logging says where what the containers of a service print goes (Compose
// Specification, "logging").
type Logging struct {
	Driver  string            `json:"driver,omitempty"` // "" is json-file
	Options map[string]string `json:"options,omitempty"`
}

// Drivers of Logging. The first two keep lines here; the last three send them
// away, and keep a copy.
const (
	LogJSONFile = "json-file"
	LogLocal    = "local"
	LogNone     = "none"
	LogSyslog   = "syslog"
	LogJournald = "journald"
	LogFluentd  = "fluentd"
)

// LogDrivers are the drivers that are carried out.
func LogDrivers() []string {
	return []string{LogJSONFile, LogLocal, LogNone, LogSyslog, LogJournald, LogFluentd}
}

// Name is the driver, also where nobody names one.
func (l *Logging) Name() string {
	if l == nil || l.Driver == "" {
		return LogJSONFile
	}
	return l.Driver
}

// Option is one of the options, "" where it is not given.
func (l *Logging) Option(name string) string {
	if l == nil {
		return ""
	}
	return l.Options[name]
}

// IsRemote says that lines are sent somewhere.
func (l *Logging) IsRemote() bool {
	return slices.Contains([]string{LogSyslog, LogJournald, LogFluentd}, l.Name())
}

// Receiver is who is sent the lines, in a word.
func (l *Logging) Receiver() string {
	if address := l.Option(l.Name() + "-address"); address != "" {
		return l.Name() + " " + address
	}
	return l.Name()
}

// Options of a Logging that say what goes along with lines; those of any driver;
// and those of the copy that is kept where they are sent away.
var (
	attributes   = []string{"env", "env-regex", "labels", "labels-regex", "tag"}
	anyDriver    = []string{"mode", "max-buffer-size"}
	ofCopy       = []string{"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"}
	ofFiles      = []string{"max-size", "max-file", "compress"}
	ofLogDrivers = map[string][]string{
		LogJSONFile: slices.Concat(attributes, anyDriver, ofFiles),
		LogLocal:    slices.Concat(attributes, anyDriver, ofFiles),
		LogSyslog: slices.Concat(attributes, anyDriver, ofCopy, []string{"syslog-address", "syslog-facility", "syslog-format",
			"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"}),
		LogJournald: slices.Concat(attributes, anyDriver, ofCopy),
		LogFluentd: slices.Concat(attributes, anyDriver, ofCopy, []string{"fluentd-address", "fluentd-async", "fluentd-async-reconnect-interval",
			"fluentd-buffer-limit", "fluentd-max-retries", "fluentd-request-ack", "fluentd-retry-wait", "fluentd-sub-second-precision", "fluentd-write-timeout"}),
	}
)

// LogOptions are the options that a driver has.
func LogOptions(driver string) []string { return slices.Clone(ofLogDrivers[driver]) }

// Retention is what is kept of what a container prints.
type Retention struct {
	None     bool  // nothing
	Hidden   bool  // only what is not sent yet
	Size     int64 // of a file, bytes; 0: the usual one
	Files    int   // 0: the usual number
	Compress bool  // of all but the present file
}

// Retention is what is kept, by the options of the driver. Options are right: they
// were checked.
func (l *Logging) Retention() Retention {
	prefix := ""
	if l.IsRemote() {
		prefix = "cache-"
	}
	r := Retention{None: l.Name() == LogNone, Hidden: IsTrue(l.Option("cache-disabled")) && l.IsRemote()}
	r.Size, _ = ParseDecimalBytes(l.Option(prefix + "max-size"))
	r.Files, _ = strconv.Atoi(l.Option(prefix + "max-file"))
	r.Compress = IsTrue(l.Option(prefix + "compress"))
	if r.Files == 0 && r.Size > 0 && l.Name() == LogJSONFile {
		r.Files = 1 // as in Docker: the size is that of all
	}
	return r
}

// withoutEffect are options that are only checked: lines wait in files.
var withoutEffect = []string{"mode", "max-buffer-size", "fluentd-buffer-limit"}

// Effective is the logging without what has no effect, nil where nothing is left: then it
// is as if nobody had said anything. local is json-file where both keep the same.
func (l *Logging) Effective() *Logging {
	if l == nil {
		return nil
	}
	e := &Logging{Driver: l.Name(), Options: map[string]string{}}
	for name, value := range l.Options {
		if !slices.Contains(withoutEffect, name) {
			e.Options[name] = value
		}
	}
	plain := *e
	plain.Driver = LogJSONFile
	if e.Driver == LogLocal && plain.Retention() == e.Retention() {
		e = &plain
	}
	if len(e.Options) > 0 {
		return e
	}
	if e.Options = nil; e.Driver == LogJSONFile {
		return nil
	}
	return e
}

// SpeaksOfLabel says that a label of the container goes along with each line that is
// sent, as the container was made with it.
func (l *Logging) SpeaksOfLabel(name string) bool {
	if !l.IsRemote() {
		return false
	}
	if slices.Contains(strings.Split(l.Option("labels"), ","), name) || strings.Contains(l.Option("tag"), ".ContainerLabels") {
		return true
	}
	text := l.Option("labels-regex")
	re, err := regexp.Compile(text)
	return text != "" && (err != nil || re.MatchString(name))
}

// SyslogFacilities are the facilities of syslog by name, in the order of their
// numbers (RFC 5424, 6.2.1).
func SyslogFacilities() []string {
	return []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}
}

// SyslogFacility is the number of a facility that is given by name or number;
// "" is daemon.
func SyslogFacility(text string) (int, bool) {
	if text == "" {
		text = "daemon"
	}
	if i := slices.Index(SyslogFacilities(), text); i >= 0 {
		return i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n < len(SyslogFacilities())
}

// ParseDecimalBytes reads a size as the logging drivers of Docker do: k, m, g, t and
// p count by 1000.
func ParseDecimalBytes(s string) (int64, bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	value, err := strconv.ParseFloat(s[:end], 64)
	unit := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s[end:])), "b")
	if err != nil || len(unit) > 1 {
		return 0, false
	}
	if unit != "" {
		power := strings.Index("kmgtp", unit) + 1
		if power == 0 {
			return 0, false
		}
		value *= math.Pow(1000, float64(power))
	}
	return int64(value), value >= 0 && value < math.MaxInt64
}
