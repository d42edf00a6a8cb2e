// Package engine runs containerd and BuildKit in this process, wires planner,
// builder and runner to them, keeps what was applied, and serves the API. It
// is the only package that links the servers of containerd and BuildKit.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/engine/admission"
	"github.com/orlop/orlop/engine/boltfile"
	"github.com/orlop/orlop/engine/buildkit"
	"github.com/orlop/orlop/engine/collector"
	"github.com/orlop/orlop/engine/heap"
	"github.com/orlop/orlop/engine/history"
	"github.com/orlop/orlop/engine/images"
	"github.com/orlop/orlop/engine/lent"
	"github.com/orlop/orlop/engine/outbound"
	"github.com/orlop/orlop/engine/programs"
	"github.com/orlop/orlop/engine/published"
	"github.com/orlop/orlop/engine/repair"
	"github.com/orlop/orlop/engine/rootlock"
	"github.com/orlop/orlop/engine/schedule"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/engine/store"
	"github.com/orlop/orlop/engine/temporary"
	"github.com/orlop/orlop/engine/unpack"
	"github.com/orlop/orlop/engine/vault"
	"github.com/orlop/orlop/engine/work"
	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/freezer"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/instance"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/ports/ways"
	"github.com/orlop/orlop/runner/shim"
)

// Config is what an engine is started with.
type Config struct {
	Root     string // what outlives a reboot
	State    string // what does not
	Libexec  string // directory of runc, the shim and orlopd
	Version  string
	Listener net.Listener // of the API
	Keeper   *keeper.Conn // nil: ports are held by the engine itself
	Log      *slog.Logger
}

// Engine is one running engine.
type Engine struct {
	cfg          Config
	id           string
	started      time.Time
	log          *slog.Logger
	lock         *os.File
	reserve      *disk.Reserve
	daemon       *daemon
	networks     *network.Manager
	buildNetwork *buildkit.Network
	runner       *runner.Runner
	store        *store.Store
	programs     programs.Programs

	kitOnce   sync.Once
	kitErr    error
	kit       *buildkit.Kit // set by kitOnce
	kitReady  chan struct{}
	images    *image.Store
	gate      admission.Gate
	instances *instance.Book
	builder   *builder.Builder

	ctx    context.Context
	cancel context.CancelCauseFunc

	locks *projectLocks

	heap       heap.Governor
	mu         sync.Mutex
	activities map[*string]struct{} // guarded by mu
	warnings   []string             // guarded by mu
	held       map[string]*holding  // guarded by mu: projects that a command holds
	callers    map[string]int       // guarded by mu: project -> commands that look at it or change it
	holdings   portKeeper
	ways       *ways.Ways
	callersOut outbound.Callers // whose builds go on
	planned    images.Held      // images of what is being carried out
	vault      *vault.Vault
	schedules  *schedule.Book
	history    *history.Book
	work       work.Group // calls, and what goes on without one
}

// portKeeper is the part of the keeper that the engine uses.
type portKeeper interface {
	network.Sockets
	ports.Listeners
}

// errShutdown is the cause of an orderly end.
var errShutdown = errors.New("the engine was asked to stop")

// Open starts an engine: it adopts what an earlier one left, and is ready to
// serve when Open returns.
func Open(ctx context.Context, cfg Config) (_ *Engine, err error) {
	e := &Engine{
		cfg: cfg, id: shortID(cfg.State), started: time.Now(), log: cfg.Log, kitReady: make(chan struct{}),
		locks: newProjectLocks(time.Now), activities: map[*string]struct{}{},
		held: map[string]*holding{}, callers: map[string]int{},
	}
	e.heap.KeepSmall()
	ctx = namespaces.WithNamespace(ctx, Namespace)
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if err := makeDirs(cfg.Root, cfg.State); err != nil {
		return nil, err
	}
	if e.lock, err = rootlock.Take(cfg.Root, rootlock.LeaveTime); err != nil {
		return nil, err
	}
	if err := temporary.Clear(temporary.Dir(cfg.Root)); err != nil {
		e.warn(err.Error())
	}
	if e.reserve, err = disk.Keep(cfg.Root); err != nil {
		e.log.Warn("no room is kept back for a full disk", "error", err)
	}
	if e.programs, err = programs.Install(cfg.Libexec, cfg.Root, taskBundles(cfg.State)); err != nil {
		return nil, err
	}
	own, gone := filepath.Join(cfg.Root, "engine.db"), false
	if st, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		gone = true // or new
	}
	// Nobody has them open yet.
	for _, name := range []string{metadataDB(cfg.Root), own} {
		if err := repair.Wipe(name); err != nil && !repair.IsDamage(err) { // a damaged one is repaired below
			e.log.Warn("what was removed stays in a database for now", "path", name, "error", err)
		}
	}
	warning := ""
	if e.store, warning, err = store.Open(own, e.log); err != nil {
		return nil, err
	}
	if warning != "" {
		e.warn(warning)
	}
	e.store.OnFull(func() { _ = e.reserve.Give() }) // the second try tells
	if err := e.repair(ctx, gone); err != nil {
		return nil, err
	}
	shim.EndHung(ctx, filepath.Join(cfg.State, "shims"), e.log)
	shim.EndForgotten(filepath.Join(cfg.State, "shims"), socket(cfg.State), e.log)
	rescued := shim.AwaitExits(ctx, taskBundles(cfg.State))
	if err := shim.NoteProgram(taskBundles(cfg.State), e.programs.Shim, e.programs.Caller); err != nil {
		e.warn(fmt.Sprintf("a container of an earlier version may be lost: %v", err))
	}
	if e.daemon, err = startContainerd(ctx, cfg.Root, cfg.State); err != nil {
		return nil, err
	}
	if err := e.openNetworks(ctx); err != nil {
		return nil, err
	}
	if err := e.openRunner(ctx, rescued); err != nil {
		return nil, err
	}
	e.endBuilds(ctx)
	e.runner.Tidy()
	e.buildNetwork.Sweep()
	if e.schedules, err = schedule.Open(e.store, schedule.Wall{}, fires{e}, e.log); err != nil {
		return nil, err
	}
	e.record()
	if err := e.resumeHolds(); err != nil { // who is lost is removed with what is scheduled of it
		return nil, err
	}
	e.work.Run(func() { e.schedules.Run(e.ctx) })
	e.work.Run(e.guardNetworks)
	e.work.Run(func() { boltfile.KeepExpiring(e.ctx, cfg.Root, e.log) })
	e.work.Run(e.watchState)
	go e.startKit()
	return e, nil
}

// guardNetworks repairs what others remove of the networks.
func (e *Engine) guardNetworks() {
	err := e.networks.Guard(e.ctx, func(err error) {
		if err != nil && e.ctx.Err() == nil {
			e.log.Warn("cannot repair the networks", "error", err)
		}
	})
	if err != nil {
		e.log.Warn("what others remove of the networks comes back with the next command only", "error", err)
	}
}

func (e *Engine) warn(text string) {
	e.log.Warn(text)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.warnings = append(e.warnings, text)
}

func makeDirs(root, state string) error {
	for _, dir := range []string{root, state} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("cannot make the engine's directory: %w", err)
		}
	}
	return os.MkdirAll(filepath.Join(state, "s"), 0o711)
}

func (e *Engine) openNetworks(ctx context.Context) (err error) {
	set, warning := settings.AtStart(e.cfg.Root)
	if warning != "" {
		e.warn(warning)
	}
	if e.cfg.Keeper != nil {
		e.holdings = e.cfg.Keeper
	} else {
		e.holdings = keeper.InProcess()
	}
	e.networks, err = network.Open(ctx, network.Config{
		ID: e.id, StateDir: filepath.Join(e.cfg.State, "net"), Pools: set.AddressPools(), OwnRange: filepath.Join(e.cfg.Root, "ipv6-range"),
		Sockets: e.holdings, Log: e.log,
	})
	if err != nil {
		return fmt.Errorf("cannot open the networks: %w", err)
	}
	e.buildNetwork = buildkit.NewNetwork(e.networks, e.log)
	return nil
}

func (e *Engine) openRunner(ctx context.Context, rescued map[string]*shim.Exit) error {
	var err error
	if e.instances, err = instance.Open(e.store, time.Now); err != nil {
		return err
	}
	e.images = image.New(e.daemon.client, e.hosts, e.cfg.Root)
	e.images.Telling, e.vault = unpack.Telling, vault.New(e.cfg.Root, time.Now)
	e.gate.Root, e.gate.Now, e.gate.Content = e.cfg.Root, time.Now, e.images.Content
	e.gate.Used, e.images.Gate = collector.Noting(e.store, time.Now), &e.gate
	if err := e.images.DropKept(ctx); err != nil {
		e.log.Warn("cannot let go of images that an update held", "error", err)
	}
	e.freezer().ThawAll(ctx)
	e.ways = published.Open(e.ctx, e.id, e.holdings, e.networks, e.cfg.Root, e.log)
	e.networks.Follow(network.Follower{Changed: e.ways.Recheck, Released: e.ways.Released})
	e.runner, err = runner.Open(ctx, runner.Config{
		Client: e.daemon.client, Images: e.images, Instances: e.instances, Networks: e.networks, Ports: e.ways, Keeping: e.holdings, Store: e.store,
		Root: e.cfg.Root, State: e.cfg.State, ID: e.id, Version: e.cfg.Version, Bundles: taskBundles(e.cfg.State),
		Address: socket(e.cfg.State), TTRPCAddress: eventSocket(e.cfg.State), Shim: e.programs.Shim, Caller: e.programs.Caller, Runc: e.programs.Runc, Init: e.programs.Init,
		Helper:  &exec.Helper{Program: e.programs.Helper, State: filepath.Join(e.cfg.State, "runc", Namespace), Log: e.log},
		Rescued: rescued, Log: e.log, Stored: e.vault.Stored, Runtimes: settings.Runtimes(e.cfg.Root), ByRunc: settings.ByRunc(e.cfg.Root),
	})
	if err != nil {
		return fmt.Errorf("cannot adopt the containers: %w", err)
	}
	return nil
}

// freezer holds containers still while an image is made of them.
func (e *Engine) freezer() *freezer.Freezer {
	return &freezer.Freezer{Containers: e.runner, Client: e.daemon.client, Dir: filepath.Join(e.cfg.State, "frozen"), Log: e.log}
}

func (e *Engine) steps() *buildkit.Steps {
	return &buildkit.Steps{
		Bundles: filepath.Join(e.cfg.Root, "buildkit", "executor"), Runc: e.programs.Runc,
		Notes: filepath.Join(e.cfg.State, "runc", "steps"), Log: e.log,
	}
}

// startKit starts BuildKit; a call that needs it waits.
func (e *Engine) startKit() {
	e.kitOnce.Do(func() {
		defer close(e.kitReady)
		if e.kitErr = e.repairCache(e.ctx); e.kitErr != nil {
			return
		}
		e.kit, e.kitErr = buildkit.Start(e.ctx, buildkit.Config{
			Dir: e.cacheDir(), CgroupPath: e.buildCgroup(), Namespace: Namespace, MaxMessage: maxMessage,
			Steps: e.steps(), Services: e.daemon.services, Network: e.buildNetwork,
			Admit: e.gate.Bases(Namespace, e.hostsOf),
			Web:   &outbound.Transport{Base: http.DefaultTransport, Callers: &e.callersOut},
			Hosts: registryHosts(e.cfg.Root, &e.callersOut), LoggedIn: loggedIn(registryHosts(e.cfg.Root, &e.callersOut), e.cfg.Root),
		})
		if e.kitErr == nil {
			e.builder = builder.New(e.kit.Control(), e.kit.Bridge())
		}
	})
}

// needKit waits until BuildKit is there.
func (e *Engine) needKit(ctx context.Context) error {
	select {
	case <-e.kitReady:
		return e.kitErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Serve serves the API until ctx ends or a shutdown is asked for. A shutdown
// gives nil; the containers live on in any case.
func (e *Engine) Serve(ctx context.Context) error {
	srv := newServer(e)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lent.Listener(e.cfg.Listener)) }()
	var err error
	select {
	case <-ctx.Done():
	case <-e.ctx.Done():
		if cause := context.Cause(e.ctx); !errors.Is(cause, errShutdown) {
			err = cause
		}
	case err = <-served:
	}
	stopped := make(chan struct{})
	go func() { srv.GracefulStop(); close(stopped) }()
	e.cancel(errShutdown)
	select {
	case <-stopped:
	case <-time.After(2 * time.Second):
		go srv.Stop() // it waits for its handlers too, which close does within bounds
	}
	e.close()
	return err
}

// endTimeout bounds how long the engine's end waits for what was begun.
const endTimeout = 15 * time.Second

// close ends the parts in the reverse order of their start.
func (e *Engine) close() {
	e.cancel(errShutdown)
	e.stopHolds()
	if !e.work.End(endTimeout) {
		e.log.Warn("what was begun does not end; the next engine goes on with it")
	}
	if e.ways != nil {
		if err := e.ways.End(); err != nil {
			e.log.Warn("cannot take the rules of published ports away", "error", err)
		}
	}
	if e.runner != nil {
		e.runner.Close()
	}
	if e.daemon != nil {
		e.kitOnce.Do(func() { close(e.kitReady) })
		<-e.kitReady
	}
	if e.kit != nil {
		e.kit.Close()
	}
	if e.networks != nil {
		e.buildNetwork.Wait()
		if err := e.networks.Close(); err != nil {
			e.log.Warn("cannot close the networks", "error", err)
		}
	}
	if e.store != nil {
		if err := e.store.Close(); err != nil {
			e.log.Error("cannot close the engine's state", "error", err)
		}
	}
	if e.daemon != nil {
		e.daemon.close()
	}
	if e.runner != nil {
		e.runner.Tidy() // builds have cgroups too
	}
	if e.lock != nil {
		e.lock.Close()
	}
}

// doing notes what is being done, for "engine status".
func (e *Engine) doing(what string) (done func()) {
	key := &what
	e.mu.Lock()
	e.activities[key] = struct{}{}
	e.mu.Unlock()
	over := e.heap.Grow()
	return func() {
		over()
		e.mu.Lock()
		delete(e.activities, key)
		e.mu.Unlock()
	}
}

func (e *Engine) warned() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.warnings)
}

func (e *Engine) now() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for what := range maps.Keys(e.activities) {
		out = append(out, *what)
	}
	slices.Sort(out)
	return out
}

// shortID names an engine among those of a machine by its state directory.
func shortID(state string) string {
	if abs, err := filepath.Abs(state); err == nil {
		state = abs
	}
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:2])
}
