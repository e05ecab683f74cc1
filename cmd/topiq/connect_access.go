package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/topiq/topiq/client"
)

// tokenVariable has the token that commands send. It is no flag: every user of the machine can read
// the command lines of others.
const tokenVariable = "TOPIQ_TOKEN"

// credentials are the token of a command.
type credentials struct {
	TokenFile string `placeholder:"FILE" help:"File that holds the token to send, in place of the variable TOPIQ_TOKEN."`
}

// token is the one to send, "" if there is none.
func (c credentials) token() (string, error) {
	token := os.Getenv(tokenVariable)
	if c.TokenFile != "" {
		text, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		token = string(text)
		if strings.TrimSpace(token) == "" {
			return "", fmt.Errorf("--token-file %s: it is empty", c.TokenFile)
		}
	}
	token = strings.TrimSpace(token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("the token has characters that no token has: is there more than one line?")
	}
	return token, nil
}

// options sends the token, if there is one.
func (c credentials) options() ([]client.Option, error) {
	token, err := c.token()
	if err != nil || token == "" {
		return nil, err
	}
	return []client.Option{client.WithToken(token)}, nil
}

// tlsTrust is whom a command trusts, and how it shows who it is.
type tlsTrust struct {
	CAFile     string `name:"ca-file" placeholder:"FILE" help:"Trust a broker whose certificate one of these, in PEM, has signed, in place of those that the system trusts."`
	ClientCert string `placeholder:"FILE" help:"Certificate to show to a broker that asks for one, in PEM."`
	ClientKey  string `placeholder:"FILE" help:"The key of --client-cert, in PEM."`
}

func (t tlsTrust) options() ([]client.Option, error) {
	config, err := t.config()
	if err != nil || config == nil {
		return nil, err
	}
	return []client.Option{client.WithTLS(config)}, nil
}

// config is nil where nothing is asked for.
func (t tlsTrust) config() (*tls.Config, error) {
	if t == (tlsTrust{}) {
		return nil, nil //nolint:nilnil // none is a value
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--ca-file %s: there is no certificate in it", t.CAFile)
		}
	}
	if (t.ClientCert == "") != (t.ClientKey == "") {
		return nil, &usageError{errors.New("--client-cert and --client-key belong together: give both")}
	}
	if t.ClientCert != "" {
		pair, err := tls.LoadX509KeyPair(t.ClientCert, t.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("--client-cert %s, --client-key %s: %w", t.ClientCert, t.ClientKey, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
