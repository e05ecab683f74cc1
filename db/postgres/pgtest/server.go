package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// pollInterval is the pause between two attempts to connect.
	pollInterval = 20 * time.Millisecond
	// orphanTimeout bounds the wait for the processes of a dead server.
	orphanTimeout = 30 * time.Second
)

// supervisor is the parent of a server. It waits for one line, the signal to
// end the server with. When this process dies, however it dies, the kernel
// closes the pipe; then the supervisor reads the end of the file instead of a
// line, ends the server and removes its directory.
//
// The signal is repeated because a server that has not yet installed its
// handlers ignores it. Each sleep also lets the shell notice a child that has
// ended, after which kill fails and the loop ends.
//
// Descriptor 3 is for the server, see [server.life]; the shell must not keep
// it open.
const supervisor = `
dir=$1
shift
"$@" </dev/null &
server=$!
exec 3>&-
read -r signal || { signal=QUIT; orphaned=yes; }
while kill -s "$signal" "$server" 2>/dev/null; do sleep 0.05; done
if [ -n "$orphaned" ]; then cd /; rm -rf "$dir"; fi
exit 0
`

// server is one run of the server program.
type server struct {
	cmd    *exec.Cmd
	orders io.Writer // The supervisor's standard input.
	// life is the read end of a pipe whose write end is inherited by every
	// process of the server and used by none: it reads as ended exactly when
	// the last of them has gone. A process id could not tell, as a killed
	// server leaves children behind for a moment, and they keep its data
	// directory in use.
	life *os.File
}

// startServer starts the program. It does not wait until the server answers.
func startServer(dir *runDir, program string, args []string) (_ *server, err error) {
	log, err := os.OpenFile(dir.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	life, inherited, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, inherited.Close()) }()

	args = append([]string{"-c", supervisor, "supervisor", dir.path, program}, args...)
	cmd := exec.CommandContext(context.Background(), "/bin/sh", args...)
	dir.confine(cmd)
	// A session of its own keeps the interrupt key of a terminal away from
	// the supervisor: the test binary decides when the server ends.
	cmd.SysProcAttr.Setsid = true
	// The log is a file. A pipe would stay open as long as any process of the
	// server lives, and so would block whoever reads it to its end.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{inherited}
	orders, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, life.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, life.Close())
	}
	return &server{cmd: cmd, orders: orders, life: life}, nil
}

// gone waits for at most this long and says whether every process of the
// server has ended.
func (s *server) gone(wait time.Duration) bool {
	if err := s.life.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return false
	}
	_, err := s.life.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// end has the supervisor end the server with a signal and waits for both.
func (s *server) end(signal string) error {
	_, writeErr := io.WriteString(s.orders, signal+"\n")
	if err := errors.Join(writeErr, s.cmd.Wait()); err != nil {
		return err
	}
	if !s.gone(orphanTimeout) {
		return fmt.Errorf("processes of the server are still there after %s", orphanTimeout)
	}
	return s.life.Close()
}

// confine makes a command run in the run directory, as its owner, and without
// the environment of the tests: PGDATA, PGOPTIONS and the like would reach
// the server, and LC_ALL the language of its messages.
func (d *runDir) confine(cmd *exec.Cmd) {
	cmd.Dir = d.path
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.account}
}
