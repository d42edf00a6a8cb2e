package manifest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/orlop/orlop/spec/cron"
)

// cron is a crontab expression as a CronJob reads it: in small letters, without the 7 that is Sunday, and with
// no range that ends there.
func (b *build) cron(at, text string) string {
	words := strings.Fields(text)
	e, err := cron.Parse(text)
	if len(words) != 5 || err != nil {
		return strings.ToLower(text)
	}
	day, weekday := words[2], strings.ToLower(words[4])
	isAny := func(word string) bool { return word == "*" || word == "*/1" }
	if !isAny(day) && !isAny(weekday) && (day[0] == '*' || weekday[0] == '*') {
		b.refuse(at, fmt.Sprintf("%q comes on days that both fields name, and a CronJob on those that one of them names", text), "write the days of one field alone, and have the command look at the other")
	}
	if weekday[0] != '*' && (strings.Contains(weekday, "7") || strings.Contains(weekday, "-0") || strings.Contains(weekday, "-sun")) {
		var days []string
		for _, d := range e.Weekdays() {
			days = append(days, strconv.Itoa(int(d)))
		}
		words[4] = strings.Join(days, ",")
		return strings.Join(words, " ")
	}
	return text
}
