package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// ParseProject reads the JSON of a Project, as json.Marshal writes it, back.
// What JSON does not carry (places, files, payloads) is empty.
func ParseProject(data []byte) (*Project, error) {
	var p Project
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("cannot read the project document: %w", err)
	}
	for _, services := range []map[string]*Service{p.Services, p.Bases, p.Jobs, p.Provided} {
		for name, s := range services {
			if s == nil {
				return nil, fmt.Errorf("cannot read the project document: service %q is empty", name)
			}
			s.Name = name
		}
	}
	return &p, nil
}

// String is the number in decimal.
func (b Bytes) String() string { return strconv.FormatInt(int64(b), 10) }

// MarshalJSON writes the number as text, as Compose does.
func (b Bytes) MarshalJSON() ([]byte, error) { return []byte(`"` + b.String() + `"`), nil }

// UnmarshalJSON reads a number, or its text.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	text := string(data)
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not a number of bytes", text)
	}
	*b = Bytes(v)
	return nil
}

// String is Go's form of the duration, such as "1m30s".
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the duration as text.
func (d Duration) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalJSON reads the text of a duration.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%s is not a duration", data)
	}
	v, ok := ParseDuration(text)
	if !ok {
		return fmt.Errorf("%q is not a duration", text)
	}
	*d = Duration(v)
	return nil
}
