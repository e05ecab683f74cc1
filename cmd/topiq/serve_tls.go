package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// tlsFlags are what `topiq serve` is told of TLS.
type tlsFlags struct {
	Cert     string `placeholder:"FILE" help:"Speak TLS with this certificate, in PEM, with those between it and a root. The file is read again when it changes."`
	Key      string `placeholder:"FILE" help:"The key of --tls-cert, in PEM."`
	ClientCA string `placeholder:"FILE" help:"Serve only clients with a certificate that one of these, in PEM, has signed."`
}

// Validate refuses half of what is needed; kong calls it.
func (f *tlsFlags) Validate() error {
	switch {
	case (f.Cert == "") != (f.Key == ""):
		return errors.New("--tls-cert and --tls-key belong together: give both")
	case f.ClientCA != "" && f.Cert == "":
		return errors.New("--tls-client-ca needs --tls-cert and --tls-key")
	}
	return nil
}

func (f *tlsFlags) on() bool { return f.Cert != "" }

// listener speaks TLS on a listener, if that is asked for.
func (f *tlsFlags) listener(inner net.Listener, log *slog.Logger) (net.Listener, error) {
	if !f.on() {
		return inner, nil
	}
	c := &certificates{files: *f, log: log, now: time.Now}
	if err := c.load(c.stamp()); err != nil {
		return nil, err
	}
	return tls.NewListener(inner, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: c.config,
	}), nil
}

// certificateInterval is how often the files are looked at, at most: by handshakes, so not at all
// while there are none.
const certificateInterval = 2 * time.Second

// certificates are the files of TLS, read again when they have changed. While they are not in order,
// such as between the writing of the one and of the other, what was read before goes on to be used.
type certificates struct {
	files tlsFlags
	log   *slog.Logger
	now   func() time.Time

	current atomic.Pointer[tls.Config]

	looking sync.Mutex // held by the handshake that looks; the others do not wait for it
	looked  time.Time
	known   fileStamps // of what was read last, in order or not
	failed  string     // why that was not in order, "" if it was
}

// fileStamps are by what changes of files are seen; what is not there has the zero stamp.
type fileStamps [3]struct {
	modified time.Time
	size     int64
}

func (c *certificates) stamp() (stamps fileStamps) {
	for i, file := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if info, err := os.Stat(file); err == nil {
			stamps[i].modified, stamps[i].size = info.ModTime(), info.Size()
		}
	}
	return stamps
}

// config implements tls.Config.GetConfigForClient.
func (c *certificates) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	if c.looking.TryLock() {
		defer c.looking.Unlock()
		if now := c.now(); now.Sub(c.looked) >= certificateInterval {
			c.looked = now
			c.look()
		}
	}
	return c.current.Load(), nil
}

// look reads the files if they have changed, or were not in order when they were read last.
func (c *certificates) look() {
	stamps := c.stamp()
	if stamps == c.known && c.failed == "" {
		return
	}
	ctx := context.Background()
	err := c.load(stamps)
	switch {
	case err == nil:
		c.log.InfoContext(ctx, "the certificate was read again", "file", c.files.Cert)
	case err.Error() != c.failed:
		c.failed = err.Error()
		c.log.WarnContext(ctx, "the certificate cannot be read again; the one before stays in use", "error", err)
	}
}

// load reads the files. stamps are those from before.
func (c *certificates) load(stamps fileStamps) error {
	c.known = stamps
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("--tls-cert %s, --tls-key %s: %w", c.files.Cert, c.files.Key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		// HTTP/2 is not spoken: its clients repeat requests by themselves that may have been carried out.
		NextProtos: []string{"http/1.1"},
	}
	if c.files.ClientCA != "" {
		text, err := os.ReadFile(c.files.ClientCA)
		if err != nil {
			return fmt.Errorf("--tls-client-ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("--tls-client-ca %s: there is no certificate in it", c.files.ClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		// A session that is taken up again would not be checked anew.
		config.SessionTicketsDisabled = true
	}
	c.failed = ""
	c.current.Store(config)
	return nil
}
