package api

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/topiq/topiq/api/metrics"
	"github.com/topiq/topiq/service"
)

// Config is what the handler and the HTTP server can be told. The zero value works: it is for a
// broker on a loopback address.
type Config struct {
	// Version is what /info and the logs call this broker. Default "dev".
	Version string
	// Metrics count requests and are what /metrics shows. Default: new ones, which know what the
	// broker tells when it is asked and nothing of its groups.
	Metrics *metrics.Metrics
	// Logger gets one line for each surprising event, and at debug level one for each request.
	// Default: nowhere.
	Logger *slog.Logger
	// AccessLog has each request logged at level info instead of debug.
	AccessLog bool
	// AllowedHosts are the names, besides localhost, 127.0.0.1 and [::1], that the Host header may
	// have: "name" for any port, "name:port" for one.
	AllowedHosts []string
	// AllowAnyHost turns the check of the Host header off. Then any web page may reach this broker
	// by DNS rebinding, if the browser of its reader can.
	AllowAnyHost bool
	// AllowedOrigins are the sites whose pages may use the broker, each as CheckOrigin takes it. The
	// pages of all others are refused.
	AllowedOrigins []string
	// Authenticate asks for a token wherever the document does.
	Authenticate bool
	// Unsafe are the settings, besides those of the store, that weaken safety, for /info.
	Unsafe []string

	// HeaderBytes bounds the header block of a request. Default 16 KiB.
	HeaderBytes int
	// JSONDepth bounds the nesting of a body. Default 16.
	JSONDepth int
	// HeaderTimeout is the time to send the header block. Default 5 s.
	HeaderTimeout time.Duration
	// ReadingBytes bounds the memory of all bodies that are being read at a time. Default 256 MiB,
	// and never less than two of the largest bodies.
	ReadingBytes int64
	// BodyTimeout is the time to send a body, or to take an answer, plus one second for each
	// BodyBytesPerSecond bytes that have come. Default 10 s and 256 KiB.
	BodyTimeout        time.Duration
	BodyBytesPerSecond int64
	// IdleTimeout is how long a connection may rest between two requests. Default 60 s.
	IdleTimeout time.Duration
	// Connections bounds the connections open at a time; then the one that has rested longest makes
	// room for the next. Default 25,000, or the limit of open files − 1,000 where that is less.
	Connections int
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	orDefault(&c.Version, "dev")
	orDefault(&c.HeaderBytes, 16<<10)
	orDefault(&c.JSONDepth, 16)
	orDefault(&c.HeaderTimeout, 5*time.Second)
	orDefault(&c.ReadingBytes, 256<<20)
	orDefault(&c.BodyTimeout, 10*time.Second)
	orDefault(&c.BodyBytesPerSecond, 256<<10)
	orDefault(&c.IdleTimeout, time.Minute)
	orDefault(&c.Connections, defaultConnections(openFiles()))
	return c
}

// readingBytes is ReadingBytes, but never less than two of the largest bodies.
func (c Config) readingBytes(l *service.Limits) int64 { return max(c.ReadingBytes, 2*l.RequestBytes) }

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// defaultConnections leaves 1,000 of the open files to the store and the rest of the process.
// files is 0 where there is no limit.
func defaultConnections(files uint64) int {
	const most, reserve = 25_000, 1_000
	switch {
	case files == 0 || files >= most+reserve:
		return most
	case files <= 2*reserve:
		return max(1, int(files/2))
	}
	return int(files) - reserve
}

// headerSlop is what net/http adds to MaxHeaderBytes for its buffer.
const headerSlop = 4 << 10

// NewServer returns the HTTP server for a handler. It has no WriteTimeout, which would end long
// polls: the handler sets a deadline for each answer instead.
func NewServer(handler http.Handler, config Config) *http.Server {
	config = config.withDefaults()
	return &http.Server{
		Handler:           counting{handler},
		ReadHeaderTimeout: config.HeaderTimeout,
		IdleTimeout:       config.IdleTimeout,
		MaxHeaderBytes:    max(1, config.HeaderBytes-headerSlop),
		// OPTIONS * gets the answer of all methods that are not there.
		DisableGeneralOptionsHandler: true,
		ConnState:                    connState,
		ConnContext:                  connContext,
		ErrorLog:                     slog.NewLogLogger(config.Logger.Handler(), slog.LevelDebug),
	}
}

// bodyTime is how long so many bytes may take on their way in or out.
func (c Config) bodyTime(bytes int64) time.Duration {
	return c.BodyTimeout + time.Duration(bytes/c.BodyBytesPerSecond)*time.Second
}
