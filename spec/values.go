package spec

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseFlag reads a truth value as YAML 1.1 knows them, which old files use.
func ParseFlag(s string) (string, bool) {
	switch strings.ToLower(s) {
	case "true", "yes", "on", "y":
		return "true", true
	case "false", "no", "off", "n":
		return "false", true
	}
	return "", false
}

// IsTrue reads a variable of the environment that switches something on: the
// truth values of a stack file, and those that Compose reads there beside them.
func IsTrue(s string) bool {
	flag, _ := ParseFlag(s)
	return flag == "true" || s == "1" || strings.EqualFold(s, "t")
}

// ParseDuration reads Go's durations, and days and weeks.
func ParseDuration(s string) (time.Duration, bool) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, d >= 0
	}
	var total time.Duration
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return 0, false
		}
		unit := s[end:]
		if next := strings.IndexAny(unit, "0123456789."); next >= 0 {
			unit = unit[:next]
		}
		number := s[:end]
		s = s[end+len(unit):]
		value, err := strconv.ParseFloat(number, 64)
		days := map[string]float64{"d": 24, "w": 7 * 24}[unit]
		if err == nil && days > 0 {
			hours := value * days
			if hours > math.MaxInt64/float64(time.Hour)/2 {
				return 0, false
			}
			total += time.Duration(hours * float64(time.Hour))
			continue
		}
		d, err := time.ParseDuration(number + unit)
		if err != nil {
			return 0, false
		}
		total += d
	}
	return total, total >= 0
}

// ParseBytes reads a size: a number and b, k, m, g, t or p, each also with b
// or ib; all count by 1024. Less than a byte is no size: it would become zero,
// which means no limit.
func ParseBytes(s string) (int64, bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	value, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return 0, false
	}
	unit := strings.ToLower(strings.TrimSpace(s[end:]))
	if unit != "" && unit != "b" {
		power := strings.IndexByte("kmgtp", unit[0]) + 1
		if rest := unit[1:]; power == 0 || (rest != "" && rest != "b" && rest != "ib" && rest != "i") {
			return 0, false
		}
		value *= math.Pow(1024, float64(power))
	}
	return int64(value), value < math.MaxInt64 && (value == 0 || value >= 1)
}
