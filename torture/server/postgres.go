package server

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	postgresStart = 60 * time.Second
	postgresStop  = 30 * time.Second
)

// PostgresConfig describes a PostgreSQL server.
type PostgresConfig struct {
	// Data is the data directory; it may be on a mounted image. Its parent must let the account of
	// the server in.
	Data string
	// Dir gets the log and the socket. It must be short (a socket's path has 107 bytes) and must
	// outlive Data.
	Dir  string
	Name string // of the log: NAME.log
	// Port is a TCP port on 127.0.0.1; 0 is none: only the Unix socket.
	Port     int
	Settings []string // name=value, over those of this package
	Env      []string // more environment, such as LD_PRELOAD=…
}

// Postgres is a server of our own. It may be killed and restarted.
type Postgres struct {
	config   PostgresConfig
	programs string // the directory of initdb and postgres
	account  *syscall.Credential
	process  *process
}

// NewPostgres finds the programs and prepares Dir; nothing runs yet.
func NewPostgres(config PostgresConfig) (*Postgres, error) {
	programs, err := PostgresPrograms()
	if err != nil {
		return nil, err
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	p := &Postgres{config: config, programs: programs, account: account}
	if err := os.MkdirAll(config.Dir, 0o755); err != nil {
		return nil, err
	}
	return p, p.own(config.Dir)
}

// PostgresPrograms is the directory of the newest installation.
func PostgresPrograms() (string, error) {
	var dirs []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*"} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return len(b) - len(a) + strings.Compare(b, a) })
		dirs = append(dirs, found...)
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("there is no PostgreSQL server: run torture/install.sh, which installs one on Debian as root")
}

// serverAccount is the account to run the server as, nil for ours: PostgreSQL refuses to be root.
func serverAccount() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

func (p *Postgres) own(path string) error {
	if p.account == nil {
		return nil
	}
	return os.Chown(path, int(p.account.Uid), int(p.account.Gid))
}

// Create makes the cluster with initdb: a new system identifier.
func (p *Postgres) Create(ctx context.Context) error {
	return p.Command(ctx, "initdb", "-D", p.config.Data, "-N", "--locale=C", "-E", "UTF8", "-A", "trust", "-U", "postgres")
}

// CopyFrom makes the cluster from a data directory that was made by Create: faster.
func (p *Postgres) CopyFrom(ctx context.Context, data string) error {
	return p.run(exec.CommandContext(ctx, "cp", "-a", data, p.config.Data))
}

// Command runs a program of the PostgreSQL installation as the account of the server, such as
// pg_basebackup or pg_ctl.
func (p *Postgres) Command(ctx context.Context, program string, args ...string) error {
	return p.run(exec.CommandContext(ctx, filepath.Join(p.programs, program), args...))
}

func (p *Postgres) run(cmd *exec.Cmd) error {
	p.confine(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// confine keeps our environment away from PostgreSQL: PGDATA, PGOPTIONS and the like.
func (p *Postgres) confine(cmd *exec.Cmd) {
	cmd.Dir = p.config.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}, p.config.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account}
}

// Configure changes how the next start runs the server.
func (p *Postgres) Configure(change func(*PostgresConfig)) { change(&p.config) }

// Data is the data directory.
func (p *Postgres) Data() string { return p.config.Data }

// Dir is the directory of the log and the socket.
func (p *Postgres) Dir() string { return p.config.Dir }

// Port is the TCP port, 0 if there is none.
func (p *Postgres) Port() int { return p.config.Port }

// Log is the path of the server's log.
func (p *Postgres) Log() string { return filepath.Join(p.config.Dir, p.config.Name+".log") }

// LogTail is the end of its log.
func (p *Postgres) LogTail() string { return logTail(p.Log()) }

// SocketPort is the number in the name of the socket.
func (p *Postgres) socketPort() int {
	if p.config.Port != 0 {
		return p.config.Port
	}
	return 5432
}

// Socket is the path of the Unix socket.
func (p *Postgres) Socket() string {
	return filepath.Join(p.config.Dir, ".s.PGSQL."+strconv.Itoa(p.socketPort()))
}

// URL reaches a database of the server through its socket, as the superuser postgres.
func (p *Postgres) URL(database string) string {
	query := url.Values{"host": {p.config.Dir}, "port": {strconv.Itoa(p.socketPort())}, "user": {"postgres"}}
	return "postgres:///" + database + "?" + query.Encode()
}

// TCPURL reaches it through TCP; the server must have a port.
func (p *Postgres) TCPURL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s", p.config.Port, database)
}

// Launch starts the server and does not wait until it answers.
func (p *Postgres) Launch() error {
	settings := []string{
		"unix_socket_directories=" + p.config.Dir, "port=" + strconv.Itoa(p.socketPort()),
		// A killed server must leave no segment behind.
		"dynamic_shared_memory_type=mmap", "max_connections=200", "shared_buffers=32MB",
	}
	if p.config.Port == 0 {
		settings = append(settings, "listen_addresses=")
	} else {
		settings = append(settings, "listen_addresses=127.0.0.1")
	}
	args := []string{"-D", p.config.Data}
	for _, s := range append(settings, p.config.Settings...) {
		args = append(args, "-c", s)
	}
	//nolint:gosec,noctx // what ends it is decided by the nemesis, not by a context
	cmd := exec.Command(filepath.Join(p.programs, "postgres"), args...)
	p.confine(cmd)
	started, err := start(cmd, p.Log())
	if err != nil {
		return err
	}
	p.process = started
	return nil
}

// Start starts the server and waits until it accepts connections.
func (p *Postgres) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.Wait(ctx)
}

// Wait waits until the server accepts connections, recovery included.
func (p *Postgres) Wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, postgresStart,
		fmt.Errorf("PostgreSQL did not accept connections within %s", postgresStart))
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if !p.process.running() {
			return fmt.Errorf("PostgreSQL did not start: %w: %s", err, p.LogTail())
		}
		if err := Pause(ctx, 2*glance); err != nil {
			return fmt.Errorf("%w: %s", err, p.LogTail())
		}
	}
}

// Running says whether the postmaster is there.
func (p *Postgres) Running() bool { return p.process != nil && p.process.running() }

// Ended is closed when the postmaster has ended.
func (p *Postgres) Ended() <-chan struct{} { return p.process.ended }

// Pids are those of the postmaster, first, and all its children.
func (p *Postgres) Pids() []int {
	if !p.Running() {
		return nil
	}
	pid := p.process.pid()
	return append([]int{pid}, children(pid)...)
}

// Kill ends the postmaster and all its children as kill -9 does, and waits until they are gone. The postmaster
// is stopped first: a child that it forked while we looked would be left, and one that waits in a COMMIT may wait
// for ever, and keep the next start out.
func (p *Postgres) Kill() {
	if p.process == nil {
		return
	}
	_ = p.process.signal(syscall.SIGSTOP) // it fails only where the process has ended
	for _, pid := range p.Pids() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	p.process.gone(postgresStop)
}

// Freeze stops the postmaster and all its children, as SIGSTOP does.
func (p *Postgres) Freeze() { p.each(syscall.SIGSTOP) }

// Thaw lets them go on.
func (p *Postgres) Thaw() { p.each(syscall.SIGCONT) }

func (p *Postgres) each(s syscall.Signal) {
	for _, pid := range p.Pids() {
		_ = syscall.Kill(pid, s)
	}
}

// Stop ends the server: in order ("fast") or at once ("immediate", which needs recovery at the next
// start).
func (p *Postgres) Stop(mode string) error {
	if !p.Running() {
		return nil
	}
	signal := syscall.SIGINT
	if mode == "immediate" {
		signal = syscall.SIGQUIT
	}
	if err := p.process.signal(signal); err != nil {
		return err
	}
	if !p.process.wait(postgresStop) {
		p.Kill()
		return fmt.Errorf("PostgreSQL did not end within %s: %s", postgresStop, p.LogTail())
	}
	if !p.process.gone(postgresStop) {
		return fmt.Errorf("processes of PostgreSQL are still there %s after its end: %s", postgresStop, p.LogTail())
	}
	return nil
}

// Release removes the System V segment by which servers detect each other. It outlives a server that
// was killed and not restarted, and the kernel has room for a few thousand only.
func (p *Postgres) Release() {
	if p.Running() {
		return
	}
	content, err := os.ReadFile(filepath.Join(p.config.Data, "postmaster.pid"))
	if err != nil {
		return
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 7 {
		return
	}
	if fields := strings.Fields(lines[6]); len(fields) == 2 {
		_ = exec.Command("ipcrm", "-m", fields[1]).Run() //nolint:gosec,noctx // a number; it does not wait
	}
}

// Restart stops the server in order, if it runs, and starts it.
func (p *Postgres) Restart(ctx context.Context) error {
	if err := p.Stop("fast"); err != nil {
		return err
	}
	return p.Start(ctx)
}

// Exec runs one statement in a database.
func (p *Postgres) Exec(ctx context.Context, database, statement string) error {
	conn, err := pgx.Connect(ctx, p.URL(database))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}
