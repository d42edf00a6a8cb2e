package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/orlop/orlop/e2e/guest/wire"
)

// bootLimit is for a machine to boot in, on a busy host.
const bootLimit = 2 * time.Minute

// ErrGone is of a command whose machine has ended.
var ErrGone = errors.New("the machine has ended")

// Options are of one machine.
type Options struct {
	Megabytes int // of memory; 0: 1024
	CPUs      int // 0: 1
}

// Machine is a guest that runs.
type Machine struct {
	dir      string
	qemu     *exec.Cmd
	ended    chan struct{} // closed once QEMU has ended
	toGuest  net.Conn
	sockets  []net.Listener
	servants sync.WaitGroup

	mu       sync.Mutex // guards what follows
	next     int
	commands map[int]*Command
	gone     bool

	asking   sync.Mutex // guards requests: one is sent at a time
	requests *json.Encoder
}

// NewDisk makes an empty data disk: a file of so many megabytes.
func NewDisk(ctx context.Context, path string, megabytes int) error {
	_, err := run(ctx, filepath.Dir(path), "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", path, fmt.Sprintf("%dM", megabytes))
	return err
}

// Boot starts a machine with this data disk and waits until it takes commands.
// Its sockets and the text of its console are in dir.
func (g *Guest) Boot(ctx context.Context, dir string, disk *Disk, o Options) (*Machine, error) {
	m := &Machine{dir: dir, ended: make(chan struct{}), commands: map[int]*Command{}}
	diskSocket, err := m.listen("disk.sock")
	if err != nil {
		return nil, err
	}
	guestSocket, err := m.listen("guest.sock")
	if err != nil {
		return nil, errors.Join(err, m.close())
	}
	m.servants.Go(func() {
		if c, err := diskSocket.Accept(); err == nil {
			_ = disk.serve(c) // the machine tells of a disk that is gone
			c.Close()
		}
	})
	m.qemu = exec.Command("qemu-system-x86_64", g.arguments(dir, o)...)
	if m.qemu.Stderr, err = os.Create(filepath.Join(dir, "qemu.log")); err != nil {
		return nil, errors.Join(err, m.close())
	}
	if err := m.qemu.Start(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	m.servants.Go(func() {
		_ = m.qemu.Wait() // however it ends
		close(m.ended)
		_ = m.close()
	})
	if err := m.meet(ctx, guestSocket); err != nil {
		m.Kill()
		console, _ := os.ReadFile(filepath.Join(dir, "console.log"))
		complaint, _ := os.ReadFile(filepath.Join(dir, "qemu.log"))
		return nil, fmt.Errorf("the guest does not boot: %w\n%s%s", err, console[max(0, len(console)-4000):], complaint)
	}
	return m, nil
}

func (g *Guest) arguments(dir string, o Options) []string {
	if o.Megabytes == 0 {
		o.Megabytes = 1024
	}
	return []string{
		"-M", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max",
		"-smp", fmt.Sprint(max(1, o.CPUs)), "-m", fmt.Sprint(o.Megabytes),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:" + filepath.Join(dir, "console.log"),
		"-kernel", g.kernel, "-initrd", g.archive, "-append", "console=ttyS0 panic=-1 reboot=t tsc=reliable clocksource=tsc",
		"-drive", "if=none,id=system,format=raw,readonly=on,file=" + g.system,
		"-device", "virtio-blk-pci,drive=system,serial=system",
		"-drive", "if=none,id=data,format=raw,cache=none,file=nbd+unix:///?socket=" + filepath.Join(dir, "disk.sock"),
		"-device", "virtio-blk-pci,drive=data,serial=data",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=guest,path=" + filepath.Join(dir, "guest.sock"),
		"-device", "virtserialport,chardev=guest,name=" + wire.Port,
	}
}

func (m *Machine) listen(name string) (net.Listener, error) {
	path := filepath.Join(m.dir, name)
	_ = os.Remove(path) // of the machine before
	l, err := net.Listen("unix", path)
	if err == nil {
		m.sockets = append(m.sockets, l)
	}
	return l, err
}

// meet waits for the program in the guest.
func (m *Machine) meet(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	c, err := l.Accept()
	if err != nil {
		return errors.Join(err, ctx.Err())
	}
	m.toGuest, m.requests = c, json.NewEncoder(c)
	ready := make(chan struct{})
	m.servants.Go(func() { m.listenTo(json.NewDecoder(c), ready) })
	select {
	case <-ready:
		return nil
	case <-m.ended:
		return ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask sends a request.
func (m *Machine) ask(r wire.Request) error {
	m.asking.Lock()
	defer m.asking.Unlock()
	if err := m.requests.Encode(r); err != nil {
		return ErrGone
	}
	return nil
}

// listenTo passes on what the guest says, until it ends.
func (m *Machine) listenTo(in *json.Decoder, ready chan struct{}) {
	for {
		var r wire.Reply
		if err := in.Decode(&r); err != nil {
			break
		}
		if r.ID == 0 {
			close(ready)
			continue
		}
		m.mu.Lock()
		c := m.commands[r.ID]
		if r.Ended {
			delete(m.commands, r.ID)
		}
		m.mu.Unlock()
		if c != nil {
			c.take(r)
		}
	}
	m.mu.Lock()
	m.gone = true
	left := m.commands
	m.commands = nil
	m.mu.Unlock()
	for _, c := range left {
		c.end(-1, ErrGone)
	}
}

// close ends what serves the machine.
func (m *Machine) close() error {
	var errs []error
	for _, l := range m.sockets {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Kill takes the machine its power away, and returns when it is off.
func (m *Machine) Kill() {
	_ = m.qemu.Process.Kill() // it may have ended
	m.servants.Wait()
}

// Wait waits for the machine to end of itself, as by a restart.
func (m *Machine) Wait(ctx context.Context) error {
	select {
	case <-m.ended:
		m.servants.Wait()
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the machine does not end: %w", context.Cause(ctx))
	}
}

// Console is what the guest's kernel printed.
func (m *Machine) Console() string {
	text, _ := os.ReadFile(filepath.Join(m.dir, "console.log"))
	return string(text)
}
