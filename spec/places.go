package spec

import (
	"encoding/json"
	"sync"
)

// Places are those of the values of a project, by their paths in the canonical form, such
// as "services.web.environment.LOG" or "services.web.ports[0]". The zero value has none.
type Places struct {
	all func() map[string]Place
}

// PlacesOf are the places of a map.
func PlacesOf(all map[string]Place) Places {
	return Places{func() map[string]Place { return all }}
}

// PlacesLater are places that are only found when somebody asks for one: most who read a
// project never do, and a large one has many.
func PlacesLater(find func() map[string]Place) Places { return Places{sync.OnceValue(find)} }

// All are the places by path. They are not to be changed.
func (p Places) All() map[string]Place {
	if p.all == nil {
		return nil
	}
	return p.all()
}

// Nearest is the place of the value at path, or of the closest value around
// it that a file names.
func (p Places) Nearest(path string) Place {
	all := p.All()
	for path != "" {
		if at, ok := all[path]; ok {
			return at
		}
		i := len(path) - 1
		for i >= 0 && path[i] != '.' && path[i] != '[' {
			i--
		}
		path = path[:max(i, 0)]
	}
	return Place{}
}

// MarshalJSON writes the map of paths to places.
func (p Places) MarshalJSON() ([]byte, error) { return json.Marshal(p.All()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Places) UnmarshalJSON(data []byte) error {
	var all map[string]Place
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*p = PlacesOf(all)
	return nil
}
