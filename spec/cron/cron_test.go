package cron

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWhenAnExpressionComes: each line is an expression, a zone, a moment and what comes after it.
func TestWhenAnExpressionComes(t *testing.T) {
	for _, c := range []struct{ expression, zone, after, want string }{
		{"* * * * *", "UTC", "2026-11-29 02:59:58", "2026-11-29 03:00 UTC"},
		{"* * * * *", "UTC", "2026-11-29 03:00:00", "2026-11-29 03:01 UTC"},
		{"0 3 * * *", "UTC", "2026-11-29 03:00:00", "2026-11-30 03:00 UTC"},
		{"*/20 * * * *", "UTC", "2026-11-29 03:41:00", "2026-11-29 04:00 UTC"},
		{"10-40/15 3,5 * * *", "UTC", "2026-11-29 03:25:00", "2026-11-29 03:40 UTC"},
		{"10-40/15 3,5 * * *", "UTC", "2026-11-29 03:40:00", "2026-11-29 05:10 UTC"},
		{"@hourly", "UTC", "2026-12-31 23:00:00", "2027-01-01 00:00 UTC"},
		{"@DAILY", "UTC", "2026-02-28 12:00:00", "2026-03-01 00:00 UTC"},
		{"@midnight", "UTC", "2026-02-28 12:00:00", "2026-03-01 00:00 UTC"},
		{"@weekly", "UTC", "2026-11-28 00:00:00", "2026-11-29 00:00 UTC"},
		{"@monthly", "UTC", "2026-01-31 00:00:00", "2026-02-01 00:00 UTC"},
		{"@yearly", "UTC", "2026-01-01 00:00:00", "2027-01-01 00:00 UTC"},
		// Names, and Sunday by both its numbers.
		{"0 6 * * mon-fri", "UTC", "2026-11-27 07:00:00", "2026-11-30 06:00 UTC"},
		{"0 6 * * Sat-Sun", "UTC", "2026-11-28 07:00:00", "2026-11-29 06:00 UTC"},
		{"0 6 * * 5-7", "UTC", "2026-11-28 07:00:00", "2026-11-29 06:00 UTC"},
		{"0 6 * * 7", "UTC", "2026-11-23 07:00:00", "2026-11-29 06:00 UTC"},
		{"0 0 1 JAN,jul *", "UTC", "2026-01-01 00:00:00", "2026-07-01 00:00 UTC"},
		// Ends of months, and years that leap.
		{"0 0 31 * *", "UTC", "2026-01-31 00:00:00", "2026-03-31 00:00 UTC"},
		{"0 0 29 2 *", "UTC", "2026-01-01 00:00:00", "2028-02-29 00:00 UTC"},
		{"0 0 29 2 *", "UTC", "2096-03-01 00:00:00", "2104-02-29 00:00 UTC"},
		// Either of two fields of days is enough; with a star in one both must hold.
		{"0 0 13 * fri", "UTC", "2026-11-29 00:00:00", "2026-12-04 00:00 UTC"},
		{"0 0 13 * fri", "UTC", "2026-12-11 00:00:00", "2026-12-13 00:00 UTC"},
		{"0 0 */2 * mon", "UTC", "2026-11-29 00:00:00", "2026-12-07 00:00 UTC"},
		// Paris in spring: 02:00 to 03:00 on 2026-03-29 is skipped.
		{"30 2 * * *", "Europe/Paris", "2026-03-28 02:30:00", "2026-03-29 03:00 CEST"},
		{"30 2 * * *", "Europe/Paris", "2026-03-29 03:00:00", "2026-03-30 02:30 CEST"},
		{"0 3 * * *", "Europe/Paris", "2026-03-28 12:00:00", "2026-03-29 03:00 CEST"},
		{"*/30 * * * *", "Europe/Paris", "2026-03-29 01:30:00", "2026-03-29 03:00 CEST"},
		{"30 * * * *", "Europe/Paris", "2026-03-29 01:30:00", "2026-03-29 03:30 CEST"},
		{"*/30 2 * * *", "Europe/Paris", "2026-03-28 02:30:00", "2026-03-30 02:00 CEST"},
		// Midnight is skipped in Beirut on 2026-03-29.
		{"0 0 * * *", "Asia/Beirut", "2026-03-28 12:00:00", "2026-03-29 01:00 EEST"},
		{"15 0 * * *", "Asia/Beirut", "2026-03-29 01:00:00", "2026-03-30 00:15 EEST"},
		// Half an hour is skipped on Lord Howe on 2026-10-04.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00:00", "2026-10-04 02:30 +11"},
		// A zone that has no such change, and one of half an hour.
		{"0 9 * * *", "Asia/Kolkata", "2026-11-29 09:00:00", "2026-11-30 09:00 IST"},
	} {
		e, err := Parse(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		if got := e.Next(moment(t, c.after, c.zone)).Format("2006-01-02 15:04 MST"); got != c.want {
			t.Errorf("%s in %s after %s: %s, want %s", c.expression, c.zone, c.after, got, c.want)
		}
	}
}

// In autumn the clocks of Paris show 02:00 to 03:00 twice on 2026-10-25.
func TestADoubledHour(t *testing.T) {
	for expression, want := range map[string]string{
		"30 2 * * *":   "02:30 CEST, 02:30 CET", // the second is of the day after
		"30 * * * *":   "01:30 CEST, 02:30 CEST, 02:30 CET, 03:30 CET",
		"*/30 2 * * *": "02:00 CEST, 02:30 CEST, 02:00 CET, 02:30 CET",
	} {
		e, err := Parse(expression)
		if err != nil {
			t.Fatal(err)
		}
		at := moment(t, "2026-10-25 01:00:00", "Europe/Paris")
		var got []string
		for range strings.Count(want, ",") + 1 {
			at = e.Next(at)
			got = append(got, at.Format("15:04 MST"))
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s: %s, want %s", expression, text, want)
		}
	}
	e, _ := Parse("30 2 * * *")
	first := e.Next(moment(t, "2026-10-25 01:00:00", "Europe/Paris"))
	if next := e.Next(first); next.Sub(first) != 25*time.Hour {
		t.Errorf("after %s comes %s", first, next)
	}
}

func TestWhatIsNoExpression(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "five fields, this has 0",
		"0 3 * *":               "five fields, this has 4",
		"0 0 3 * * *":           "five fields, this has 6",
		"60 * * * *":            `"60" is no minute`,
		"* 24 * * *":            `"24" is no hour`,
		"* * 0 * *":             `"0" is no day of the month`,
		"* * * 13 *":            `"13" is no month`,
		"* * * * 8":             `"8" is no day of the week`,
		"* * * * mond":          `"mond" is no day of the week`,
		"*/0 * * * *":           `"*/0" is no minute`,
		"5/10 * * * *":          `"5/10" is no minute`,
		"40-10 * * * *":         `"40-10" is no minute`,
		"1,,2 * * * *":          `"" is no minute`,
		"-1 * * * *":            `"-1" is no minute`,
		"+1 * * * *":            `"+1" is no minute`,
		"*/+1 * * * *":          `"*/+1" is no minute`,
		"1.5 * * * *":           `"1.5" is no minute`,
		"? * * * *":             `"?" is no minute`,
		"0 0 30 2 *":            "no such day ever comes",
		"0 0 31 4,6 *":          "no such day ever comes",
		"@reboot":               "@reboot is no short form",
		"@every 5m":             "five fields, this has 2",
		"TZ=UTC 0 3 * * *":      "a key of its own",
		"CRON_TZ=UTC 0 3 * * *": "a key of its own",
	} {
		_, err := Parse(text)
		var wrong *Error
		if !errors.As(err, &wrong) || !strings.Contains(wrong.Text, want) || wrong.Hint == "" {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for _, name := range []string{"", "Local", "Europe/Pariss", "CEST+1", "../etc/passwd"} {
		if zone, err := Zone(name); err == nil {
			t.Errorf("%q is the zone %s", name, zone)
		}
	}
}

// FuzzParse holds that what is read comes some day, at a whole minute.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 3 * * *", "*/5 1-3,7 1,15 jan-mar/2 mon", "@daily", "0 0 29 2 */2", ""} {
		f.Add(text)
	}
	after := time.Date(2026, 3, 28, 12, 0, 30, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		if next := e.Next(after); !next.After(after) || next.Second() != 0 {
			t.Errorf("%q comes at %s", text, next)
		}
	})
}

func moment(t *testing.T, text, zone string) time.Time {
	t.Helper()
	in, err := Zone(zone)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation(time.DateTime, text, in)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWeekdaysAreThoseThatAreNamed(t *testing.T) {
	for text, want := range map[string][]time.Weekday{
		"0 0 * * 7":       {time.Sunday},
		"0 0 * * fri-sun": {time.Sunday, time.Friday, time.Saturday},
		"0 0 * * 1-7/3":   {time.Sunday, time.Monday, time.Thursday},
	} {
		e, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Weekdays(); !slices.Equal(got, want) {
			t.Errorf("%q comes on %v, want %v", text, got, want)
		}
	}
}
