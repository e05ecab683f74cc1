package api

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// hosts are the values that the Host header may have. A page of a foreign site that has its own
// name resolve to this machine (DNS rebinding) is of the same origin as we are in the eyes of the
// browser; only the Host header gives it away. So it is checked for every request, reads too.
type hosts struct {
	any     bool
	allowed map[string]bool // lower case, with or without a port
}

func newHosts(configured []string, any bool) hosts { //nolint:predeclared // reads best
	h := hosts{any: any, allowed: map[string]bool{}}
	for _, name := range configured {
		h.allowed[strings.ToLower(name)] = true
	}
	return h
}

func (h *hosts) check(r *http.Request) error {
	// Only HTTP/1.0 can come so far without a host.
	if r.Host == "" {
		return invalid("host", "the header is missing")
	}
	if h.any {
		return nil
	}
	host := strings.ToLower(r.Host)
	name, port := splitHost(host)
	if loopback(name) && ownPort(r, port) || h.allowed[host] || h.allowed[name] {
		return nil
	}
	return errHostNotAllowed
}

// splitHost splits "name:port" and "[::1]:port"; port is "" if there is none.
func splitHost(host string) (name, port string) {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.HasSuffix(host, "]") {
		return host, ""
	}
	return host[:colon], host[colon+1:]
}

func loopback(name string) bool {
	return name == "localhost" || name == "127.0.0.1" || name == "[::1]"
}

// ownPort reports whether a port is the one that the request came in by, or that is not known.
func ownPort(r *http.Request, port string) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return true
	}
	if port == "" {
		return local.Port == 80 || local.Port == 443
	}
	return port == strconv.Itoa(local.Port)
}

// checkOrigin refuses what a browser sends for a page of another site, reads included: what such a
// page cannot read it could still cause, or measure. What a browser sends for our own pages (/docs),
// or for its user, passes, and so does what other programs send.
//
// public is for what everybody may know: there a link on another page may lead to it.
func (s *server) checkOrigin(r *http.Request, public bool) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !reads {
		return crossOrigin(s.origin.Check(r))
	}
	if public && followsLink(r.Header) {
		return nil
	}
	if !public && partOfAnotherPage(r) {
		return errCrossOrigin
	}
	// The library takes a GET for harmless.
	return crossOrigin(s.origin.Check(withMethod(r, http.MethodPost)))
}

func crossOrigin(err error) error {
	if err != nil {
		return errCrossOrigin
	}
	return nil
}

// followsLink reports whether a browser asks for what it will show as a page of its own, which the
// page that led to it learns nothing of.
func followsLink(h http.Header) bool {
	return h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document" && h.Get("Origin") == ""
}

// partOfAnotherPage reports whether a GET is for an image, or from a page of another host. Browsers
// send neither Origin nor Sec-Fetch-Site with it when this broker is not on a loopback address and
// is reached by plain HTTP.
func partOfAnotherPage(r *http.Request) bool {
	if strings.HasPrefix(strings.ToLower(r.Header.Get("Accept")), "image/") {
		return true
	}
	referer := r.Header.Get("Referer")
	page, err := url.Parse(referer)
	return referer != "" && (err != nil || !strings.EqualFold(page.Host, r.Host))
}

// withMethod returns a request that is r but for its method.
func withMethod(r *http.Request, method string) *http.Request {
	changed := *r
	changed.Method = method
	return &changed
}
