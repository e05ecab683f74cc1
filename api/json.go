package api

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/topiq/topiq/fault"
	"github.com/topiq/topiq/service"
)

// binder decodes the bodies of requests for the generated code. The library refuses by itself what
// would be read in two ways: names in another case, repeated names, unknown members, invalid UTF-8,
// lone surrogates, a byte order mark, and anything after the value.
type binder struct{ server *server }

// Bind implements echo.Binder.
func (b binder) Bind(v any, c echo.Context) error {
	x := exchangeOf(c)
	if err := b.server.decode(x.body, v); err != nil {
		return err
	}
	x.forgetBody() // a long poll does not need it any more
	return nil
}

// strictOptions are how each body is decoded.
func strictOptions() json.Options {
	return json.JoinOptions(json.RejectUnknownMembers(true), json.WithUnmarshalers(strictBytes()),
		jsontext.AllowInvalidUTF8(fault.Mistake("invalid_utf8_replaced")))
}

func (s *server) decode(body []byte, v any) error {
	if len(body) == 0 {
		return malformed("the body is missing: send a JSON object")
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
			return malformed("the body ends in the middle of the JSON text")
		}
		return invalidField(syntax.JSONPointer, "is not valid JSON in UTF-8 at byte "+strconv.FormatInt(syntax.ByteOffset, 10))
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return malformed("the body is not valid").Because(err)
	}
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return invalidField(semantic.JSONPointer, "is unknown")
	case semantic.JSONPointer == "":
		return malformed("the body must be a JSON object")
	default:
		return invalidField(semantic.JSONPointer, "has a wrong type or form")
	}
}

// invalidField names the member at fault, or the body.
func invalidField(at jsontext.Pointer, problem string) error {
	tokens := slices.Collect(at.Tokens())
	switch {
	case len(tokens) > 2 && tokens[0] == "messages":
		return invalid(tokens[2], problem) // tokens[1] is the index
	case len(tokens) > 1 && tokens[0] == "retention":
		return invalid(tokens[1], problem)
	case len(tokens) > 0:
		return invalid(tokens[0], problem)
	}
	return malformed("the body " + problem)
}

// strictBytes refuses base64 in which bits are set that belong to no byte, which the library takes:
// then two texts would be the same bytes.
func strictBytes() *json.Unmarshalers {
	strict := base64.StdEncoding.Strict()
	return json.UnmarshalFromFunc(func(d *jsontext.Decoder, to *[]byte) error {
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return err
		}
		n, err := strict.Decode(text, text)
		if err == nil && strict.EncodedLen(n) != len(text) {
			err = base64.CorruptInputError(n) // it has line breaks
		}
		*to = text[:n]
		return err
	})
}

// checkShape refuses what the library would take: null, which is neither a value nor absent; −0,
// which is no integer as the query string has them; deep nesting; and more messages than a request
// may have, before memory is taken for them. It looks at each byte outside of strings once.
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
				return malformed("the body is nested deeper than " + strconv.Itoa(s.config.JSONDepth))
			}
			if depth == messageDepth && body[i] == '{' {
				if messages++; messages > s.limits.Messages {
					return tooManyMessages(s.limits.Messages)
				}
			}
		case '}', ']':
			depth--
		case 'n':
			if bytes.HasPrefix(body[i:], []byte("null")) {
				return valueAt(body[:i], key, "must not be null")
			}
		case '-':
			if bytes.HasPrefix(body[i:], []byte("-0")) {
				return valueAt(body[:i], key, "must not begin with -0")
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

// valueAt refuses a value; key is the last string before it.
func valueAt(before, key []byte, problem string) error {
	before = bytes.TrimRight(before, " \t\r\n")
	if len(before) > 0 && before[len(before)-1] == ':' {
		if name, err := jsontext.AppendUnquote(nil, key); err == nil {
			return invalid(string(name), problem)
		}
	}
	return malformed("a value in the body " + problem)
}

// tooManyMessages says what package service would.
func tooManyMessages(most int) error {
	message := fmt.Sprintf("a request may have at most %d messages", most)
	return &service.Error{Code: service.CodeRequestTooLarge, Message: message}
}

// writeAnswer sends a success.
func writeAnswer(w http.ResponseWriter, answer encoder) error {
	x, err := exchangeBehind(w)
	if err != nil {
		return err
	}
	buffer, _ := x.server.answers.Get().(*[]byte)
	text, err := answer.appendTo((*buffer)[:0])
	if err != nil {
		return err
	}
	if err = x.send(http.StatusOK, text); cap(text) <= keptBuffer {
		*buffer = text
		x.server.answers.Put(buffer)
	}
	return err
}

// exchangeBehind is the exchange that the generated code's writer writes to.
func exchangeBehind(w http.ResponseWriter) (*exchange, error) {
	response, ok := w.(*echo.Response)
	if !ok {
		return nil, fmt.Errorf("api: an answer to a %T", w)
	}
	x, ok := response.Writer.(*exchange)
	if !ok {
		return nil, fmt.Errorf("api: an answer to a %T", response.Writer)
	}
	return x, nil
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
