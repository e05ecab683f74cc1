package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/cors"
)

// preflightSeconds is how long a browser may remember the answer to a preflight.
const preflightSeconds = 600

// origins are the sites whose pages may use the broker, each by its exact origin. The zero value is
// of none, and then no answer has a header of CORS.
//
// There are no credentials of the browser's own (cookies, passwords it has kept) for a page to use:
// what a page may do is what the token allows that it sends.
type origins struct {
	allowed map[string]bool
	cors    *cors.Cors
}

func newOrigins(configured []string) origins {
	if len(configured) == 0 {
		return origins{}
	}
	o := origins{allowed: map[string]bool{}, cors: cors.New(cors.Options{
		AllowedOrigins: configured,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Last-Event-ID"},
		ExposedHeaders: []string{"Retry-After"},
		MaxAge:         preflightSeconds,
	})}
	for _, origin := range configured {
		o.allowed[origin] = true
	}
	return o
}

// CheckOrigin refuses what is not the origin of a site as a browser sends it: https://NAME or
// http://NAME, with a port if it is not the usual one, in lower case and with nothing behind it.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+u.Host ||
		origin != strings.ToLower(origin) || strings.Contains(u.Host, "*") {
		return errors.New("an origin is https://NAME or http://NAME, in lower case, with :PORT if it is not the usual one, and nothing else")
	}
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return errors.New("a browser leaves the usual port of an origin out: do so too")
	}
	return nil
}

// allow sets the headers of CORS, and reports whether a request is from a page of a site that is
// allowed. If it is the question of a browser whether a page may send another request, it is answered.
func (o *origins) allow(x *exchange, r *http.Request) (allowed, answered bool) {
	if o.cors == nil {
		return false, false
	}
	origin := r.Header["Origin"]
	allowed = len(origin) == 1 && o.allowed[origin[0]]
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	if preflight && !allowed {
		x.Header().Add("Vary", "Origin")
		return false, false // like any OPTIONS: there is no such method
	}
	o.cors.HandlerFunc(x, r)
	return allowed, preflight
}
