package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
)

func TestPlaces(t *testing.T) {
	for text, want := range map[string]place{
		"web:/a":    {"web", "/a"},
		"web:a:b":   {"web", "a:b"},
		"/a:b":      {"", "/a:b"},
		"./a:b":     {"", "./a:b"},
		"../a:b":    {"", "../a:b"},
		"a":         {"", "a"},
		":a":        {"", ":a"},
		"-":         {"", "-"},
		"web:":      {"web", ""},
		"web:./a/.": {"web", "./a/."},
	} {
		if got := placeOf(text); got != want {
			t.Errorf("%s is %+v", text, got)
		}
	}
}

// TestWhereACopyComesTo: to what is there, and to nothing that a link leads away from.
func TestWhereACopyComesTo(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	dir, err := os.Getwd()
	must(t, err)
	must(t, os.MkdirAll("there/sub", 0o755))
	must(t, os.WriteFile("file", nil, 0o644))
	must(t, os.Symlink("there", "link"))
	must(t, os.Symlink("nowhere", "dangling"))
	must(t, os.Symlink("/", "there/d"))
	file, tree, contents := archive.SourceOf("/f", false), archive.SourceOf("/d", true), archive.SourceOf("/d/.", true)
	for _, c := range []struct {
		name, to string
		s        archive.Source
		want     string
		made     bool
		err      string
	}{
		{"a file", "new", file, "/new", false, ""},
		{"into a directory", ".", file, "/f", false, ""},
		{"by a link that was named", "link", file, "/there/f", false, ""},
		{"a new directory", "made", tree, "/made", true, ""},
		{"into one that is there", "there/sub", tree, "/there/sub/d", true, ""},
		{"contents into one that is there", "there/sub", contents, "/there/sub", false, ""},
		{"over a link of an earlier copy", "there", tree, "", false, "cannot take the place of a file"},
		{"a link to nothing", "dangling", file, "", false, "a symbolic link to nothing"},
		{"no directory", "no/such", file, "", false, "there is no directory " + dir + "/no: make it first"},
		{"a directory over a file", "file", tree, "", false, "cannot take the place of a file"},
		{"a device", "/dev/null", file, "", false, "neither a file nor a directory"},
	} {
		at, made, err := (&Verbs{}).target(c.to, c.s)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v", c.name, err)
		case c.err == "" && (err != nil || at != dir+c.want || made != c.made):
			t.Errorf("%s: %s, %t, %v", c.name, at, made, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stream answers when it is told to.
type stream struct {
	grpc.ClientStream
	answer chan error
}

func (s *stream) RecvMsg(any) error { return <-s.answer }
func (s *stream) CloseSend() error  { close(s.answer); return nil }

// TestAnAnswerEndsWriting: whoever waits for more to send hears of it.
func TestAnAnswerEndsWriting(t *testing.T) {
	refused := errors.New("refused")
	s := &stream{answer: make(chan error, 1)}
	err := converse(t.Context(), s, nil, func(ctx context.Context) error {
		s.answer <- refused
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, refused) {
		t.Error(err)
	}
	s = &stream{answer: make(chan error, 1)}
	if err := converse(t.Context(), s, nil, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
	ours := errors.New("cannot read")
	s = &stream{answer: make(chan error, 1)}
	if err := converse(t.Context(), s, nil, func(context.Context) error { return ours }); !errors.Is(err, ours) {
		t.Error(err)
	}
	close(s.answer)
}

func TestChangesArePrinted(t *testing.T) {
	list := []*api.FileChange{
		{Kind: "A", Path: []byte("/data/upload.bin"), Size: 1_200_000, File: true},
		{Kind: "C", Path: []byte("/etc/app.conf"), Size: 7, File: true},
		{Kind: "D", Path: []byte("/tmp/\x1b[31m")},
	}
	sent := false
	recv := func() (*api.FileChanges, error) {
		if sent {
			return nil, io.EOF
		}
		sent = true
		return &api.FileChanges{Changes: list}, nil
	}
	var out bytes.Buffer
	must(t, printChanges(t.Context(), &out, recv, "table", false))
	if want := "A /data/upload.bin   1.2 MB\nC /etc/app.conf\nD /tmp/"; !strings.HasPrefix(out.String(), want) || strings.Contains(out.String(), "\x1b") {
		t.Errorf("printed is %q", out.String())
	}
	out.Reset()
	sent = false
	must(t, printChanges(t.Context(), &out, recv, "json", false))
	if !strings.HasPrefix(out.String(), `{"Kind":"A","Path":"/data/upload.bin","Size":1200000}`+"\n") {
		t.Errorf("printed is %q", out.String())
	}
}

// endless is an archive of which more comes each time that it is asked for.
type endless struct {
	grpc.ServerStreamingClient[api.TreePart]
	begin []byte
	more  func()
}

func (e *endless) Recv() (*api.TreePart, error) {
	data := e.begin
	if e.begin = nil; data == nil {
		data = make([]byte, archive.MessageSize)
		e.more()
	}
	return &api.TreePart{Of: &api.TreePart_Data{Data: data}}, nil
}

// TestWhatCantBeWrittenIsToldAtOnce: not when all of the archive has come. A directory of which
// nothing came goes again.
func TestWhatCantBeWrittenIsToldAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	must(t, os.MkdirAll("to/d/f", 0o755))
	for _, c := range []struct {
		to, name, err string
		exists        bool
	}{{"to", "d/f", "a file cannot take the place of a directory", true}, {"new", "../evil", "could lead out", false}} {
		var head bytes.Buffer
		must(t, tar.NewWriter(&head).WriteHeader(&tar.Header{Name: c.name, Typeflag: tar.TypeReg, Size: 1 << 40, Mode: 0o644, Format: tar.FormatPAX}))
		asked := 0
		in := &incoming{stream: &endless{begin: head.Bytes(), more: func() {
			if asked++; asked > 100 {
				panic("it reads on")
			}
		}}}
		err := (&Verbs{}).unpack(t.Context(), &copying{to: place{path: c.to}}, archive.SourceOf("/d", true), in, &meter{})
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", c.to, err)
		}
		if _, err := os.Stat(c.to); (err == nil) != c.exists {
			t.Errorf("%s: %v", c.to, err)
		}
	}
}
