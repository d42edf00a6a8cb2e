package cron

import (
	"fmt"
	"os"
	"strings"
	"time"
	_ "time/tzdata" // for machines that have no time zones installed
)

// Zone is the time zone of an IANA name.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, &Error{fmt.Sprintf("%q is not a time zone", name), "write its name as in Europe/Paris, or UTC"}
	}
	return zone, nil
}

// Machine is the time zone that the machine is set to, whatever the environment of the
// process says; UTC where it is set to none.
func Machine() *time.Location {
	const set = "/etc/localtime"
	data, err := os.ReadFile(set)
	if err != nil {
		return time.UTC
	}
	name := "Local"
	if target, err := os.Readlink(set); err == nil {
		if _, after, ok := strings.Cut(target, "zoneinfo/"); ok {
			name = after
		}
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return time.UTC
	}
	return zone
}
