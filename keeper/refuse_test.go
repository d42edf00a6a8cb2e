package keeper

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// callAPI calls something of an API as commands do.
func callAPI(t *testing.T, socket string) error {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return conn.Invoke(ctx, "/orlop.Engine/Status", &emptypb.Empty{}, &emptypb.Empty{})
}

// TestCallersHearWhyNoEngineCanStart: at once, each of the try that was made for
// it; and once the cause is gone the next caller has an engine.
func TestCallersHearWhyNoEngineCanStart(t *testing.T) {
	why := filepath.Join(t.TempDir(), "why")
	breaks := func(text string) {
		t.Helper()
		if err := os.WriteFile(why, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	breaks("no room at /x: 5% ü")
	t.Setenv(brokenEnv, why)
	state, _ := runKeeper(t)
	socket := filepath.Join(state, socketName)
	began := time.Now()
	for i, want := range []string{"no room at /x: 5% ü", "no room at /x: 5% ü", "the file is torn"} {
		if i == 2 {
			breaks(want)
		}
		err := callAPI(t, socket)
		if st := status.Convert(err); st.Code() != codes.DataLoss || st.Message() != want {
			t.Fatalf("caller %d hears %v", i, err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := os.Remove(why); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, state, "restarts"); !strings.Contains(got, " ") {
		t.Errorf("the engine that can start says %q", got)
	}
}

func TestWhichEndsOfAnEngineAreFailures(t *testing.T) {
	exit := func(script string) error { return exec.Command("sh", "-c", script).Run() }
	var f failures
	for i, c := range []struct {
		err   error
		lived time.Duration
		want  bool
	}{
		{exit("exit 1"), time.Millisecond, false}, {exit("kill -9 $$"), time.Millisecond, false}, // the first, and one that was killed
		{exit("exit 1"), time.Second, false}, {exit("exit 2"), 3 * time.Second, true}, {errors.New("no such file"), 0, true},
		{exit("exit 1"), time.Minute, false}, {exit("exit 1"), 0, false}, {nil, 0, false}, {exit("exit 1"), 0, false},
	} {
		if got := f.note(c.err, c.lived); got != c.want {
			t.Errorf("number %d, %v: %v", i, c.err, got)
		}
	}
	f.count = 50
	if f.pause() != longestPause {
		t.Errorf("the pause grows to %s", f.pause())
	}
}

func TestTheReasonIsInTheLog(t *testing.T) {
	failed := errors.New("code 2")
	for text, want := range map[string]string{
		"": "code 2", "level=WARN msg=x\n": "code 2", "level=WARN msg=x\norlop-engine: no room\n": "no room",
		"panic: page 3 already freed\n\ngoroutine 1 [running]:\nmain.main()\n": "internal error: panic: page 3 already freed",
		"orlop-engine: " + strings.Repeat("x", 5000):                           strings.Repeat("x", longestReason),
	} {
		if got := reasonIn(text, failed); got != want {
			t.Errorf("%.40q gives %.60q", text, got)
		}
	}
}
