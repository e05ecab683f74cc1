package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/service"
)

// binder decodes the bodies of requests for the generated code. The library refuses by itself what
// would be read in two ways: names in another case, repeated names, unknown members, invalid UTF-8,
// lone surrogates, a byte order mark, and anything after the value.
type binder struct{ server *server }

// Bind implements echo.Binder.
func (b binder) Bind(v any, c echo.Context) error {
	return b.server.decode(exchangeOf(c).body, v)
}

func (s *server) decode(body []byte, v any) error {
	if len(body) == 0 {
		return invalid("", "the body is missing: send a JSON object")
	}
	if err := s.checkShape(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v, s.strict); err != nil {
		return decodeFailure(err)
	}
	return nil
}

// decodeFailure says what is wrong with a body, without the words of the library, which quote what
// was sent.
func decodeFailure(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return invalidField(syntax.JSONPointer, "is there twice")
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return invalid("", "the body ends in the middle of the JSON text")
		}
		return invalidField(syntax.JSONPointer, "the body is not valid JSON in UTF-8, at byte "+strconv.FormatInt(syntax.ByteOffset, 10))
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return invalid("", "the body is not valid").Because(err)
	}
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return invalidField(semantic.JSONPointer, "is unknown")
	case semantic.JSONPointer == "":
		return invalid("", "the body must be a JSON object")
	default:
		return invalidField(semantic.JSONPointer, "has a wrong type or form")
	}
}

// invalidField names the member at fault.
func invalidField(at jsontext.Pointer, problem string) error {
	tokens := slices.Collect(at.Tokens())
	switch {
	case len(tokens) > 2 && tokens[0] == "messages":
		return invalid(tokens[2], problem) // tokens[1] is the index
	case len(tokens) > 0:
		return invalid(tokens[0], problem)
	}
	return invalid("", problem)
}

// checkShape refuses what the library would take: null, which is neither a value nor absent; deep
// nesting; and more messages than a request may have, before memory is taken for them. It looks at
// each byte outside of strings once.
func (s *server) checkShape(body []byte) error {
	depth, messages := 0, 0
	var key []byte // the last string
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			end := stringEnd(body, i)
			key = body[i:end]
			i = end - 1
		case '{', '[':
			depth++
			if depth > s.config.JSONDepth {
				return invalid("", "the body is nested deeper than "+strconv.Itoa(s.config.JSONDepth))
			}
			if depth == messageDepth && body[i] == '{' {
				if messages++; messages > s.limits.Messages {
					limit := s.limits.RequestBytes
					return service.ErrRequestTooLarge.With(service.Facts{MaxBytes: &limit})
				}
			}
		case '}', ']':
			depth--
		case 'n':
			if bytes.HasPrefix(body[i:], []byte("null")) {
				return nullAt(body[:i], key)
			}
		}
	}
	return nil
}

// messageDepth is where the objects in `messages` are.
const messageDepth = 3

// stringEnd returns the index after the string that begins at start.
func stringEnd(body []byte, start int) int {
	i := start + 1
	for {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body) // the decoder finds out
		}
		i += n + 1
		// The quote ends the string unless an odd number of backslashes is before it.
		escapes := 0
		for j := i - 2; j > start && body[j] == '\\'; j-- {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

// nullAt refuses a null; key is the last string before it.
func nullAt(before, key []byte) error {
	before = bytes.TrimRight(before, " \t\r\n")
	if len(before) > 0 && before[len(before)-1] == ':' {
		if name, err := jsontext.AppendUnquote(nil, key); err == nil {
			return invalid(string(name), "must not be null")
		}
	}
	return invalid("", "null is not allowed anywhere in the body")
}

// writeAnswer sends a success, by the library that is fast at it.
func writeAnswer(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	response, ok := w.(*echo.Response)
	if !ok {
		return fmt.Errorf("api: an answer to a %T", w)
	}
	x, ok := response.Writer.(*exchange)
	if !ok {
		return fmt.Errorf("api: an answer to a %T", response.Writer)
	}
	return x.send(http.StatusOK, text)
}

// send sends a whole answer.
func (x *exchange) send(status int, text []byte) error {
	h := x.Header()
	h["Content-Type"] = x.server.jsonType
	h.Set("Content-Length", strconv.Itoa(len(text)))
	x.WriteHeader(status)
	_, err := x.Write(text)
	return err
}
