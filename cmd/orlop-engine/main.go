// Command orlop-engine is the engine: containerd, BuildKit, the runner and the
// API in one process. The keeper starts it; see package engine.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/orlop/orlop/engine"
	"github.com/orlop/orlop/engine/doctor"
	"github.com/orlop/orlop/engine/programs"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/engine/temporary"
	"github.com/orlop/orlop/keeper"
)

// version is set when a release is linked.
var version = "dev"

// The descriptors that the keeper lends.
const (
	listenerFD = 3
	keeperFD   = 4
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "orlop-engine:", err)
		os.Exit(1)
	}
}

func run() error {
	root := flag.String("root", "/var/lib/orlop", "directory of what outlives a reboot")
	state := flag.String("state", "/run/orlop", "directory of what does not")
	alone := flag.Bool("alone", false, "run without a keeper (for trials)")
	examine := flag.Bool("doctor", false, "print what the machine has of what the engine needs, as JSON, and end")
	fix := flag.Bool("fix", false, "with --doctor: load modules of the kernel and raise limits")
	flag.Parse()
	if err := keeper.KeepPrivate(); err != nil {
		return err
	}
	log.L.Logger.SetLevel(logrus.WarnLevel)
	log.L.Logger.SetFormatter(calm{&logrus.TextFormatter{DisableColors: true, FullTimestamp: true}})
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))

	self, err := os.Executable()
	if err != nil {
		return err
	}
	if *examine {
		checks := doctor.Examine(doctor.Host{Root: *root, State: *state, Libexec: filepath.Dir(self), Runc: programs.CheckRunc, Settings: settings.Examine, Fix: *fix})
		return json.NewEncoder(os.Stdout).Encode(checks)
	}
	// Containerd's shim is asked for its features with runc on its path.
	os.Setenv("PATH", filepath.Dir(self)+":"+os.Getenv("PATH"))
	// What a killed engine leaves mounted is found there by the next one.
	os.Setenv("TMPDIR", temporary.Dir(*root))
	cfg := engine.Config{
		Root: *root, State: *state, Libexec: filepath.Dir(self), Version: version, Log: logger,
	}
	if *alone {
		err = listenAlone(&cfg)
	} else {
		err = takeLent(&cfg)
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return engine.Main(ctx, cfg)
}

// takeLent takes the API's listener and the keeper's connection.
func takeLent(cfg *engine.Config) error {
	f := os.NewFile(listenerFD, "api")
	l, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("the engine is started by the keeper, orlopd (or with --alone): %w", err)
	}
	f.Close()
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	conn, err := keeper.Dial(keeperFD)
	if err != nil {
		return fmt.Errorf("cannot talk to the keeper: %w", err)
	}
	cfg.Listener, cfg.Keeper = l, conn
	return nil
}

// listenAlone opens the API's socket itself.
func listenAlone(cfg *engine.Config) error {
	if err := os.MkdirAll(cfg.State, 0o711); err != nil {
		return err
	}
	path := filepath.Join(cfg.State, "orlop.sock")
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	cfg.Listener = l
	return os.Chmod(path, 0o600)
}
