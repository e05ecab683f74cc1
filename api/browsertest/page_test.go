//go:build browser

package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// shown returns the operations that the page shows, as "METHOD path", sorted.
func (b *browser) shown() (operations []string) {
	b.t.Helper()
	b.do("looking for operations", chromedp.Evaluate(`
		[...document.querySelectorAll(".opblock")]
			.filter(block => block.checkVisibility())
			.map(block => block.querySelector(".opblock-summary-method").innerText.trim() + " " +
				block.querySelector("[data-path]").dataset.path)`, &operations))
	slices.Sort(operations)
	return operations
}

// operation is the part of the page that is about one operation.
type operation struct {
	*browser
	id, selector string
}

// answer is what the page shows of an answer.
type answer struct {
	text       string
	ProducerID *int64  `json:"producer_id"`
	ConsumerID *int64  `json:"consumer_id"`
	Offset     *int64  `json:"offset"`
	Duplicate  *bool   `json:"duplicate"`
	Message    *string `json:"message"`
}

// open unfolds an operation and presses "Try it out".
func (b *browser) open(tag, id string) *operation {
	b.t.Helper()
	o := &operation{b, id, "#operations-" + tag + "-" + id + " "}
	b.do(id+": Try it out", click(o.selector+".opblock-summary-control"), click(o.selector+".try-out__btn"))
	return o
}

// body types a request body.
func (o *operation) body(text string) *operation {
	o.t.Helper()
	o.do(o.id+": typing the body", enter(o.selector+".body-param__text", text))
	return o
}

// parameters types these parameters and empties all others.
func (o *operation) parameters(values map[string]string) *operation {
	o.t.Helper()
	var names []string
	o.do(o.id+": looking for parameters", chromedp.Evaluate(fmt.Sprintf(
		`[...document.querySelectorAll(%q)].map(row => row.dataset.paramName)`, o.selector+"tr[data-param-name]"), &names))
	for name := range values {
		if !slices.Contains(names, name) {
			o.t.Fatalf("%s: the page has no parameter %s, only %q", o.id, name, names)
		}
	}
	for _, name := range names {
		o.do(o.id+": typing "+name, enter(o.selector+`tr[data-param-name="`+name+`"] input`, values[name]))
	}
	return o
}

// execute presses "Execute" and returns the answer, which must be 200.
func (o *operation) execute() (a answer) {
	o.t.Helper()
	status, text := o.ask()
	if status != "200" {
		o.t.Fatalf("%s: the answer is %s: %s", o.id, status, text)
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		o.t.Fatalf("%s: the answer is shown as %q: %v", o.id, text, err)
	}
	a.text = text
	return a
}

// ask presses "Execute" and returns what is shown of the answer.
func (o *operation) ask() (status, text string) {
	o.t.Helper()
	const table = ".live-responses-table .response "
	o.do(o.id+": Execute", click(o.selector+".execute"))
	if err := o.try(
		chromedp.Text(o.selector+table+".response-col_status", &status, chromedp.ByQuery),
		chromedp.Text(o.selector+table+".highlight-code code", &text, chromedp.ByQuery),
	); err != nil {
		var shown string
		_ = o.try(chromedp.Text(o.selector, &shown, chromedp.ByQuery))
		o.t.Fatalf("%s: no answer: %v; the page shows\n%s", o.id, err, shown)
	}
	return strings.TrimSpace(status), text
}

// click scrolls to an element and clicks on it.
func click(selector string) chromedp.Action {
	return chromedp.Click(selector, chromedp.ByQuery)
}

// enter replaces what is in a field, by the keyboard: the page does not see
// what a script does to its fields.
func enter(selector, text string) chromedp.Action {
	var got string
	return chromedp.Tasks{
		chromedp.Focus(selector, chromedp.ByQuery),
		input.DispatchKeyEvent(input.KeyRawDown).WithCommands([]string{"selectAll"}),
		chromedp.KeyEvent(kb.Delete),
		input.InsertText(text),
		chromedp.Value(selector, &got, chromedp.ByQuery),
		chromedp.ActionFunc(func(context.Context) error {
			if got != text {
				return fmt.Errorf("the field holds %q in place of %q", got, text)
			}
			return nil
		}),
	}
}
