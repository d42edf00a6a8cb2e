// Package cron reads crontab expressions and tells when they come next. It knows
// five fields with ranges, lists, steps and names, and the short forms such as
// @daily; it keeps no time of its own.
//
// In a time zone that changes its clocks it does as cron does. An expression of fixed
// times comes once a day: at the change where its time is skipped, and the first time
// where there are two of it. One whose minute or hour begins with "*" is of spans of
// time: it comes whenever the clock shows what it says.
package cron

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Expression is a crontab expression that was read.
type Expression struct {
	minute, hour, day, month, weekday set
	anyDay, anyWeekday                bool // the field begins with "*": the other one decides
	spans                             bool // minute or hour do: see the package
}

// set are the values that a field names, a bit each.
type set uint64

func (s set) has(v int) bool { return s&(1<<v) != 0 }

// field is what a field may hold.
type field struct {
	name     string
	min, max int
	names    []string // of the values from min on
}

// fields are those of an expression, in order. The weekday 7 is Sunday as well.
func fields() []field {
	return []field{
		{name: "minute", max: 59}, {name: "hour", max: 23}, {name: "day of the month", min: 1, max: 31},
		{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{name: "day of the week", max: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

// shortForms are the expressions that the short forms stand for.
var shortForms = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// Error is why a text is no expression, and what to write instead.
type Error struct{ Text, Hint string }

func (e *Error) Error() string { return e.Text }

// example is what an expression looks like.
const example = `write five fields: minute, hour, day of the month, month and day of the week, as in "0 3 * * *"`

// Parse reads an expression. Its errors are an *Error.
func Parse(text string) (*Expression, error) {
	words := strings.Fields(text)
	if len(words) == 1 && strings.HasPrefix(words[0], "@") {
		known, ok := shortForms[strings.ToLower(words[0])]
		if !ok {
			return nil, &Error{words[0] + " is no short form of crontab's", "write @hourly, @daily, @weekly, @monthly or @yearly, or five fields"}
		}
		words = strings.Fields(known)
	}
	if len(words) > 0 && (strings.HasPrefix(words[0], "TZ=") || strings.HasPrefix(words[0], "CRON_TZ=")) {
		return nil, &Error{"the time zone is a key of its own", "write timezone: beside cron:"}
	}
	if len(words) != 5 {
		return nil, &Error{fmt.Sprintf("a crontab expression has five fields, this has %d", len(words)), example}
	}
	e := &Expression{}
	for i, into := range []*set{&e.minute, &e.hour, &e.day, &e.month, &e.weekday} {
		var err error
		if *into, err = fields()[i].parse(words[i]); err != nil {
			return nil, err
		}
	}
	if e.weekday.has(7) {
		e.weekday |= 1
	}
	star := func(i int) bool { return strings.HasPrefix(words[i], "*") }
	e.spans, e.anyDay, e.anyWeekday = star(0) || star(1), star(2), star(4)
	if e.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, &Error{"no such day ever comes", "look at the day of the month and the month"}
	}
	return e, nil
}

// Weekdays are the days of the week that the expression names.
func (e *Expression) Weekdays() []time.Weekday {
	var days []time.Weekday
	for d := time.Sunday; d <= time.Saturday; d++ {
		if e.weekday.has(int(d)) {
			days = append(days, d)
		}
	}
	return days
}

// parse reads the list of a field.
func (f field) parse(text string) (set, error) {
	var all set
	for _, item := range strings.Split(text, ",") {
		some, err := f.item(item)
		if err != nil {
			return 0, err
		}
		all |= some
	}
	return all, nil
}

// item reads one entry of a list: "*", a value or a range, and a step.
func (f field) item(text string) (set, error) {
	span, step, isStepped := strings.Cut(text, "/")
	every := 1
	if isStepped {
		var err error
		if every, err = strconv.Atoi(step); err != nil || every < 1 || every > f.max || step[0] == '+' {
			return 0, f.wrong(text, fmt.Sprintf("a step is a number from 1 to %d", f.max))
		}
	}
	from, to := f.min, f.max
	if f.max == 7 {
		to = 6 // "*" has each day once
	}
	if span != "*" {
		low, high, isRange := strings.Cut(span, "-")
		var ok bool
		if from, ok = f.value(low); !ok {
			return 0, f.wrong(text, f.allowed())
		}
		switch {
		case isRange:
			if to, ok = f.value(high); !ok {
				return 0, f.wrong(text, f.allowed())
			}
			if to == 0 && f.max == 7 && from > 0 {
				to = 7 // sat-sun
			}
			if to < from {
				return 0, f.wrong(text, "a range goes from the smaller value to the greater one")
			}
		case isStepped:
			return 0, f.wrong(text, fmt.Sprintf("a step needs a range: write */%s or %s-%d/%s", step, low, f.max, step))
		default:
			to = from
		}
	}
	var s set
	for v := from; v <= to; v += every {
		s |= 1 << v
	}
	return s, nil
}

// value reads a number or a name.
func (f field) value(text string) (int, bool) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, true
	}
	v, err := strconv.Atoi(text)
	return v, err == nil && v >= f.min && v <= f.max && text[0] != '+' && text[0] != '-'
}

func (f field) wrong(text, hint string) error {
	return &Error{fmt.Sprintf("%q is no %s", text, f.name), hint}
}

// allowed is what values the field takes.
func (f field) allowed() string {
	text := fmt.Sprintf("write a number from %d to %d", f.min, f.max)
	if len(f.names) > 0 {
		text += fmt.Sprintf(", or a name from %s to %s", f.names[0], f.names[len(f.names)-1])
	}
	return text
}

// longest is how many days are looked through: a 29th of February on a given day of the
// week can be 40 years away.
const longest = 41 * 366

// Next is the first time after a moment, in that moment's time zone; zero if there is
// none.
func (e *Expression) Next(after time.Time) time.Time {
	zone := after.Location()
	// The day before counts too: what it skips can come with this one's beginning.
	day := time.Date(after.Year(), after.Month(), after.Day()-1, 12, 0, 0, 0, time.UTC)
	for range longest {
		if e.isOn(day) {
			if next := e.firstOf(day, after, zone); !next.IsZero() {
				return next
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// isOn says that the expression comes on a day. Of two fields that name days one is
// enough, where both name some.
func (e *Expression) isOn(day time.Time) bool {
	if !e.month.has(int(day.Month())) {
		return false
	}
	inMonth, inWeek := e.day.has(day.Day()), e.weekday.has(int(day.Weekday()))
	if e.anyDay || e.anyWeekday {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

// firstOf is the first time of a day that is after a moment, zero if none is.
func (e *Expression) firstOf(day, after time.Time, zone *time.Location) time.Time {
	var first time.Time
	for hours := e.hour; hours != 0; hours &= hours - 1 {
		for minutes := e.minute; minutes != 0; minutes &= minutes - 1 {
			clock := time.Date(day.Year(), day.Month(), day.Day(), bits.TrailingZeros64(uint64(hours)), bits.TrailingZeros64(uint64(minutes)), 0, 0, time.UTC)
			for _, at := range e.moments(clock, zone) {
				if at.After(after) && (first.IsZero() || at.Before(first)) {
					first = at
				}
			}
		}
	}
	return first
}

// moments are when the clocks of a zone show what a UTC time reads: once, twice or, where
// it is skipped, never, unless the expression is to come then.
func (e *Expression) moments(clock time.Time, zone *time.Location) []time.Time {
	const day = 24 * time.Hour
	_, before := clock.Add(-day).In(zone).Zone()
	_, later := clock.Add(day).In(zone).Zone()
	var found []time.Time
	for _, offset := range []int{before, later} {
		at := clock.Add(-time.Duration(offset) * time.Second).In(zone)
		if _, is := at.Zone(); is == offset && !slices.ContainsFunc(found, at.Equal) {
			found = append(found, at)
		}
	}
	switch {
	case e.spans || len(found) == 1:
		return found
	case len(found) == 2:
		return []time.Time{slices.MinFunc(found, time.Time.Compare)}
	}
	change, _ := clock.Add(-time.Duration(before) * time.Second).In(zone).ZoneBounds()
	return []time.Time{change}
}
