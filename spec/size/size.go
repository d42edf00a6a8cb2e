// Package size reads sizes as the command prints them. Those of stack files are the specification's: spec.ParseBytes.
package size

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Parse reads a size as tables show it: kB, MB, GB and TB count by 1000, KiB, MiB, GiB and TiB by 1024. A letter
// alone is as one with B; the case does not matter.
func Parse(s string) (int64, bool) {
	end := strings.LastIndexAny(s, "0123456789.") + 1
	value, err := strconv.ParseFloat(s[:end], 64)
	if err != nil || value < 0 {
		return 0, false
	}
	unit, base := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s[end:])), "b"), 1000.0
	if letter, isBinary := strings.CutSuffix(unit, "i"); isBinary && letter != "" {
		unit, base = letter, 1024
	}
	power := slices.Index([]string{"", "k", "m", "g", "t"}, unit)
	value *= math.Pow(base, float64(power))
	return int64(value), power >= 0 && value < math.MaxInt64 && (value == 0 || value >= 1)
}
