package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
)

// rootfs writes a root file system; a text that starts with -> is a link.
func rootfs(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "->"); ok {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100::/home/app:/bin/sh\n" +
	"wrap:x:4294967296:0::/:\nminus:x:-1:0::/:\nwrapgroup:x:5:4294967296::/:\nbroken\n:::\n"
const group = "root:x:0:\nusers:x:100:\nwheel:x:27:app,other\nbig:x:4294967296:evil\n"

// TestIdentify: see the risk.
//
// Risk image content: a user or group of an image is above 2^31, negative, or wraps round to root
// Held: numbers out of range are refused
func TestIdentify(t *testing.T) {
	dir := rootfs(t, map[string]string{"etc/passwd": passwd + "evil:x:7:7::/:\n", "etc/group": group})
	for who, want := range map[string]struct {
		id  User
		err string
	}{
		"":                        {id: User{Home: "/root", Groups: []uint32{0}}},
		"root":                    {id: User{Home: "/root", Groups: []uint32{0}}},
		"0":                       {id: User{Home: "/root", Groups: []uint32{0}}},
		"app":                     {id: User{UID: 1000, GID: 100, Home: "/home/app", Groups: []uint32{100, 27}}},
		"1000":                    {id: User{UID: 1000, GID: 100, Home: "/home/app", Groups: []uint32{100, 27}}},
		"1234":                    {id: User{UID: 1234, Home: "/", Groups: []uint32{0}}},
		"1234:5678":               {id: User{UID: 1234, GID: 5678, Home: "/", Groups: []uint32{5678}}},
		"app:wheel":               {id: User{UID: 1000, GID: 27, Home: "/home/app", Groups: []uint32{27}}},
		"2147483647":              {id: User{UID: 2147483647, Home: "/", Groups: []uint32{0}}},
		"2147483648":              {err: "out of range"},
		"4294967296":              {err: "out of range"},
		"0:4294967296":            {err: "out of range"},
		"99999999999999999999999": {err: "out of range"},
		"-1":                      {err: "cannot find user"},
		"nobody":                  {err: `cannot find user "nobody"`},
		"app:nogroup":             {err: "cannot find user"},
		"wrap":                    {err: "out of range"},
		"minus":                   {err: "out of range"},
		"wrapgroup":               {err: "out of range"},
		"evil":                    {err: "out of range"},
	} {
		got, err := LookupUser(dir, who)
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Errorf("%q: %+v, %v, want %q", who, got, err, want.err)
			}
			continue
		}
		if err != nil || got.UID != want.id.UID || got.GID != want.id.GID || got.Home != want.id.Home || !slices.Equal(got.Groups, want.id.Groups) {
			t.Errorf("%q: %+v, %v, want %+v", who, got, err, want.id)
		}
	}
}

// TestIdentifyInUnsoundImages: see the risk.
//
// Risk image content: /etc/passwd of an image is a link out of it, a loop, huge, a directory
// Held: it is opened inside of that root alone, within 4 MB
func TestIdentifyInUnsoundImages(t *testing.T) {
	outside := filepath.Join(rootfs(t, map[string]string{"passwd": "app:x:0:0::/:\n"}), "passwd")
	for name, test := range map[string]struct {
		files map[string]string
		who   string
		err   string // "" if it is found as 1000
	}{
		"no files":           {nil, "1000", ""},
		"no files, a name":   {nil, "app", "cannot find user"},
		"a link inside":      {map[string]string{"etc/passwd": "->../lib/passwd", "lib/passwd": passwd}, "app", ""},
		"an absolute link":   {map[string]string{"etc/passwd": "->/lib/passwd", "lib": "->/usr/lib", "usr/lib/passwd": passwd}, "app", ""},
		"up, and down again": {map[string]string{"etc/passwd": "->../../../lib/passwd", "lib/passwd": passwd}, "app", ""},
		"a link outside":     {map[string]string{"etc/passwd": "->" + outside}, "app", "has no such name"},
		"a way outside":      {map[string]string{"etc/passwd": "->../../../../../../../../" + outside}, "app", "has no such name"},
		"a directory's link": {map[string]string{"etc": "->" + filepath.Dir(outside)}, "app", "has no such name"},
		"a loop":             {map[string]string{"etc/passwd": "->passwd"}, "app", "cannot read /etc/passwd"},
		"a directory":        {map[string]string{"etc/passwd/x": ""}, "app", "not a regular file"},
		"a huge file":        {map[string]string{"etc/passwd": strings.Repeat("x", 5<<20)}, "app", "not a regular file"},
		"a huge group file":  {map[string]string{"etc/passwd": passwd, "etc/group": strings.Repeat("x", 5<<20)}, "app", "not a regular file"},
		"a long line":        {map[string]string{"etc/passwd": "x:" + strings.Repeat("y", 1<<20) + "\n" + passwd}, "app", "cannot find user"},
	} {
		got, err := LookupUser(rootfs(t, test.files), test.who)
		if test.err == "" && (err != nil || got.UID != 1000) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %+v, %v, want %q", name, got, err, test.err)
		}
	}
}

// More groups come behind those of the user, each once, by a number or by a name that the
// image has.
func TestMoreGroups(t *testing.T) {
	dir := rootfs(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
	app, err := LookupUser(dir, "app")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		groups []string
		want   []uint32
		err    string
	}{
		{nil, []uint32{100, 27}, ""},
		{[]string{"root", "7777"}, []uint32{100, 27, 0, 7777}, ""},
		{[]string{"wheel", "100", "7", "7"}, []uint32{100, 27, 7}, ""},
		{[]string{"2147483647"}, []uint32{100, 27, 2147483647}, ""},
		{[]string{"2147483648"}, nil, "group 2147483648 is out of range"},
		{[]string{"99999999999999999999999"}, nil, "out of range"},
		{[]string{"-1"}, nil, "cannot find the group \"-1\""},
		{[]string{"root", "nobodyhere"}, nil, "cannot find the group \"nobodyhere\""},
		{[]string{"big"}, nil, "cannot find the group \"big\""},
	} {
		got, err := app.AddGroups(dir, tt.groups)
		switch {
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%v: %v, %v; want %q", tt.groups, got.Groups, err, tt.err)
		case tt.err == "" && (err != nil || !slices.Equal(got.Groups, tt.want)):
			t.Errorf("%v: %v, %v; want %v", tt.groups, got.Groups, err, tt.want)
		}
	}
	if !slices.Equal(app.Groups, []uint32{100, 27}) {
		t.Errorf("the user has got the groups %v of others", app.Groups)
	}
	bare, err := User{}.AddGroups(rootfs(t, nil), []string{"5"})
	if err != nil || !slices.Equal(bare.Groups, []uint32{5}) {
		t.Errorf("without /etc/group: %v, %v", bare.Groups, err)
	}
	if _, err := (User{}).AddGroups(rootfs(t, map[string]string{"etc/group": "->/etc/shadow"}), []string{"5"}); err != nil {
		t.Errorf("with a link that leads nowhere in the image: %v", err)
	}
}

// Runs names the key of the service that is at fault: the user's, or that of its groups.
func TestWhoAnImageRunsAs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: mounts an image")
	}
	dir := rootfs(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
	mounts := []mount.Mount{{Type: "bind", Source: dir, Options: []string{"rbind"}}}
	i := &Image{store: &Store{users: map[string]User{}}}
	i.Config.User = "app"
	for _, tt := range []struct {
		who    string
		groups []string
		uid    uint32
		more   []uint32
		key    string
		fails  bool
	}{
		{"", nil, 1000, []uint32{100, 27}, "", false},
		{"root", nil, 0, []uint32{0}, "user", false},
		{"", []string{"5"}, 1000, []uint32{100, 27, 5}, "group_add", false},
		{"", nil, 1000, []uint32{100, 27}, "", false}, // what is kept is that without the groups
		{"nobodyhere", []string{"5"}, 0, nil, "user", true},
		{"app", []string{"nobodyhere"}, 0, nil, "group_add", true},
	} {
		id, key, err := i.Runs(t.Context(), mounts, tt.who, tt.groups)
		if key != tt.key || (err != nil) != tt.fails || id.UID != tt.uid || !slices.Equal(id.Groups, tt.more) {
			t.Errorf("%q with %v: %+v, %q, %v", tt.who, tt.groups, id, key, err)
		}
	}
}
