package values

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/logtag"
	"github.com/orlop/orlop/spec/tree"
)

// logging checks where the output of containers goes, and the options of that.
func (c checker) logging(s *tree.Node, path string) {
	l := s.Value("logging")
	if l == nil || l.Kind != tree.MapNode {
		return
	}
	at := path + ".logging"
	name := l.Value("driver")
	log := spec.Logging{Driver: tree.TextAt(l, "driver")}
	if name != nil && name.Kind == tree.ScalarNode && name.Text != "" && !slices.Contains(spec.LogDrivers(), name.Text) {
		hint := "write one of " + strings.Join(spec.LogDrivers(), ", ")
		if near := spec.DidYouMean(name.Text, spec.LogDrivers()); near != "" {
			hint = near
		}
		c.Fail(name, at+".driver", fmt.Sprintf("logs can't be given to %q", spec.Shorten(name.Text)), hint)
		return
	}
	options := l.Value("options")
	if options == nil || options.Kind != tree.MapNode {
		return
	}
	if log.Name() == spec.LogNone {
		if len(options.Fields) > 0 {
			c.Warn(options, at+".options", "they mean nothing with driver: none, which keeps nothing", "remove them")
		}
		return
	}
	for _, f := range options.Fields {
		c.logOption(f, log.Name(), at+".options."+f.Key)
	}
	c.togetherOptions(options, log.Name(), at+".options")
}

// logOption checks one option of a driver.
func (c checker) logOption(f tree.Field, driver, at string) {
	known := spec.LogOptions(driver)
	if !slices.Contains(known, f.Key) {
		key := &tree.Node{At: f.At, Width: f.Width}
		hint := "its options are " + strings.Join(known, ", ")
		if near := spec.DidYouMean(f.Key, known); near != "" {
			hint = near
		}
		c.Fail(key, at, fmt.Sprintf("the logging driver %s has no option %q", driver, spec.Shorten(f.Key)), hint)
		return
	}
	if f.Value.Kind != tree.ScalarNode || f.Value.Text == "" && len(f.Value.Unset()) > 0 {
		return
	}
	if problem, hint := badLogOption(f.Key, f.Value.Text); problem != "" {
		c.Fail(f.Value, at, problem, hint)
	}
}

// badLogOption says what is wrong with the value of an option, and what to write.
func badLogOption(name, value string) (problem, hint string) {
	is := func(ok bool, what, hint string) (string, string) { return unlessIs(ok, value, what, hint) }
	switch name {
	case "max-size", "cache-max-size":
		n, ok := spec.ParseDecimalBytes(value)
		return is(ok && n > 0, "a size", "write one such as 10m")
	case "max-buffer-size", "fluentd-buffer-limit":
		_, ok := spec.ParseBytes(value)
		return is(ok, "a size", "write one such as 4m")
	case "max-file", "cache-max-file":
		n, err := strconv.Atoi(value)
		return is(err == nil && n >= 1 && n <= mostLogFiles, "a number of files", fmt.Sprintf("write 1 to %d", mostLogFiles))
	case "fluentd-max-retries":
		n, err := strconv.Atoi(value)
		return is(err == nil && n >= 0, "a number of tries", "")
	case "compress", "cache-compress", "cache-disabled", "fluentd-async", "fluentd-request-ack", "fluentd-sub-second-precision":
		_, err := strconv.ParseBool(value)
		return is(err == nil, "true or false", "")
	case "fluentd-retry-wait", "fluentd-async-reconnect-interval", "fluentd-write-timeout":
		d, err := time.ParseDuration(value)
		return is(err == nil && d >= 0, "a duration", "write one such as 1s or 500ms")
	}
	return badLogText(name, value)
}

func unlessIs(ok bool, value, what, hint string) (string, string) {
	if ok {
		return "", ""
	}
	return fmt.Sprintf("%q is not %s", spec.Shorten(value), what), hint
}

// badLogText is badLogOption for options that are neither numbers nor flags.
func badLogText(name, value string) (problem, hint string) {
	is := func(ok bool, what, hint string) (string, string) { return unlessIs(ok, value, what, hint) }
	switch name {
	case "mode":
		return is(value == "blocking" || value == "non-blocking", "one of blocking, non-blocking", spec.DidYouMean(value, []string{"blocking", "non-blocking"}))
	case "labels-regex", "env-regex":
		if _, err := regexp.Compile(value); err != nil {
			return fmt.Sprintf("%q is not a regular expression: %v", spec.Shorten(value), err), ""
		}
	case "tag":
		return badTag(value)
	case "syslog-address", "fluentd-address":
		return badReceiver(name, value)
	case "syslog-facility":
		_, ok := spec.SyslogFacility(value)
		return is(ok, "a facility of syslog", spec.DidYouMean(value, spec.SyslogFacilities()))
	case "syslog-format":
		formats := []string{"rfc3164", "rfc5424", "rfc5424micro"}
		return is(slices.Contains(formats, value), "one of "+strings.Join(formats, ", "), spec.DidYouMean(value, formats))
	case "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key":
		return is(strings.HasPrefix(value, "/"), "an absolute path", "the engine reads it: write the whole path")
	}
	return "", ""
}

// mostLogFiles is how many files of a log there may be: all of them are looked for
// when one is full.
const mostLogFiles = 1000

// sample is a container that tags are tried on.
func sample() *logtag.Info {
	id := strings.Repeat("0", 64)
	return &logtag.Info{ContainerID: id, ContainerName: "/x", ContainerImageID: "sha256:" + id, ContainerImageName: "x", Config: map[string]string{}}
}

func badTag(value string) (problem, hint string) {
	if _, err := logtag.Expand(value, sample()); err != nil {
		word := regexp.MustCompile(`can't evaluate field (\w+)`).FindStringSubmatch(err.Error())
		if word == nil {
			return fmt.Sprintf("%q is not a template: %v", spec.Shorten(value), err), "write one such as {{.Name}}"
		}
		fields := []string{"ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "Hostname", "DaemonName", "ExtraAttributes"}
		hint := spec.DidYouMean(word[1], fields)
		if hint == "" {
			hint = "there are " + strings.Join(fields, ", ")
		}
		return fmt.Sprintf("a tag knows no {{.%s}}", word[1]), hint
	}
	return "", ""
}

// badReceiver says what is wrong with the address that lines are sent to.
func badReceiver(name, value string) (problem, hint string) {
	schemes, example := []string{"udp", "tcp", "tcp+tls", "unix", "unixgram"}, "udp://192.0.2.1:514"
	if name == "fluentd-address" {
		schemes, example = []string{"tcp", "tls", "unix"}, "192.0.2.1:24224"
		if !strings.Contains(value, "://") {
			value = "tcp://" + value
		}
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is not an address", spec.Shorten(value)), "write one such as " + example
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Sprintf("%q is not an address of one of %s", spec.Shorten(value), strings.Join(schemes, ", ")), "write one such as " + example
	case strings.HasPrefix(u.Scheme, "unix") && !strings.HasPrefix(u.Path, "/"):
		return fmt.Sprintf("%q names no socket", spec.Shorten(value)), "write one such as " + u.Scheme + ":///run/log.sock"
	case strings.HasPrefix(u.Scheme, "unix"):
		return "", ""
	case u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return fmt.Sprintf("%q has more than a host and a port", spec.Shorten(value)), "write one such as " + example
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return fmt.Sprintf("%q has no port from 1 to 65535", spec.Shorten(value)), "write one such as " + example
		}
	}
	return "", ""
}

// togetherOptions checks options that mean nothing without another.
func (c checker) togetherOptions(options *tree.Node, driver, at string) {
	text := func(name string) string { return tree.TextAt(options, name) }
	for _, prefix := range []string{"", "cache-"} {
		n := options.Value(prefix + "compress")
		single := text(prefix+"max-file") == "1" || driver == spec.LogJSONFile && text(prefix+"max-file") == "" && text(prefix+"max-size") != ""
		if n != nil && spec.IsTrue(n.Text) && single {
			c.Fail(n, at+"."+prefix+"compress", "the file that is written is never compressed, and there is no other", "write "+prefix+`max-file: "2" or more`)
		}
	}
	if n := options.Value("max-buffer-size"); n != nil && text("mode") != "non-blocking" {
		c.Fail(n, at+".max-buffer-size", "max-buffer-size means nothing without mode: non-blocking", "write mode: non-blocking, or remove it")
	}
	if cert, key := options.Value("syslog-tls-cert"), options.Value("syslog-tls-key"); (cert == nil) != (key == nil) {
		c.Fail(firstOf(cert, key), at, "syslog-tls-cert and syslog-tls-key belong together", "give both, or none")
	}
}
