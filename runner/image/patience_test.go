package image

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

type answers []*http.Response

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	next := (*a)[0]
	*a = (*a)[1:]
	return next, nil
}

func says(status int, after string) *http.Response {
	w := httptest.NewRecorder()
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
	return w.Result()
}

// TestABusyRegistryIsAskedAgainWhenItSays, for as long as anybody would wait.
func TestABusyRegistryIsAskedAgainWhenItSays(t *testing.T) {
	for name, c := range map[string]struct {
		answers answers
		status  int
		took    time.Duration
	}{
		"busy twice":        {answers{says(429, "2"), says(503, "3"), says(200, "")}, 200, 5 * time.Second},
		"says no time":      {answers{says(429, ""), says(200, "")}, 429, 0},
		"says too long":     {answers{says(429, "3600"), says(200, "")}, 429, 0},
		"says far too long": {answers{says(429, "18446744074"), says(200, "")}, 429, 0},
		"another refusal":   {answers{says(404, "2"), says(200, "")}, 404, 0},
		"always":            {answers{says(429, "1"), says(429, "1"), says(429, "1"), says(429, "1"), says(429, "1")}, 429, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said []string
				p := &patient{&c.answers, func(text string) { said = append(said, text) }}
				began := time.Now()
				resp, err := p.RoundTrip(httptest.NewRequest(http.MethodGet, "http://r.test/v2/", nil))
				if err != nil || resp.StatusCode != c.status || time.Since(began) != c.took {
					t.Errorf("%v after %v: %v", resp.Status, time.Since(began), err)
				}
				if c.took > 0 && (len(said) == 0 || said[len(said)-1] != "") {
					t.Errorf("said is %q", said)
				}
			})
		})
	}
}
