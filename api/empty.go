package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// NewEmptyHandler returns the limit that `topiq bench` compares a broker with: the least that a server
// made of the same parts can do. It is echo without any middleware. It reads the body of a produce or a
// consume, decodes it as the broker does, forgets it, and answers the same bytes each time; a read of a
// topic, which has no body, is answered at once, or where it says how long to wait, after as many seconds. Nothing is
// checked beyond the form, and nothing kept, but by keep: it is called once for each body, unless it is nil.
func NewEmptyHandler(answer []byte, keep func(context.Context) error) http.Handler {
	s := &server{config: Config{}.withDefaults(), limits: service.DefaultLimits(), strict: strictOptions()}
	e := echo.New()
	constant := func(c echo.Context) error {
		// The library would answer what is longer than its buffer in chunks, which the broker never does.
		c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(answer)))
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, answer)
	}
	kept := constant
	if keep != nil {
		kept = func(c echo.Context) error {
			if err := keep(c.Request().Context()); err != nil {
				return err
			}
			return constant(c)
		}
	}
	e.POST("/producer/produce", decodeAndForget[wire.ProduceRequest](s, kept))
	e.POST("/consumer/consume", decodeAndForget[wire.ConsumeRequest](s, kept))
	e.GET("/topics/:topic/messages", func(c echo.Context) error {
		if err := waitAsAsked(c); err != nil {
			return err
		}
		return constant(c)
	})
	return e
}

// waitAsAsked waits for as many seconds as the request says, with all that a handler needs for that and nothing more.
func waitAsAsked(c echo.Context) error {
	text := c.QueryParam("wait")
	if text == "" {
		return nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	timer := time.NewTimer(time.Duration(seconds) * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.Request().Context().Done():
		return c.Request().Context().Err()
	}
}

// decodeAndForget calls next after it has decoded the body.
func decodeAndForget[Body any](s *server, next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength < 0 || r.ContentLength > s.limits.RequestBytes {
			return errors.New("the limit takes only bodies that say how long they are")
		}
		text := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, text); err != nil {
			return err
		}
		var body Body
		if err := s.decode(text, &body); err != nil {
			return echo.NewHTTPError(http.StatusBadRequest, err.Error())
		}
		return next(c)
	}
}
