package dbtest_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/topiq/topiq/db/dbtest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

func TestFaultyFailsEveryMethodBeforeItHappens(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	var called string
	faulty := &dbtest.Faulty{Before: func(method string) error { // without a store: a call that got there would panic
		called = method
		return failed
	}}
	store := reflect.TypeFor[service.Store]()
	for method := range store.Methods() {
		if method.Name == "Properties" || method.Name == "Watch" {
			continue // they cannot fail
		}
		var in []reflect.Value
		for in0 := range method.Type.Ins() {
			in = append(in, reflect.Zero(in0))
		}
		call := reflect.Value.Call
		if method.Type.IsVariadic() {
			call = reflect.Value.CallSlice
		}
		out := call(reflect.ValueOf(faulty).MethodByName(method.Name), in)
		if err, _ := reflect.TypeAssert[error](out[len(out)-1]); !errors.Is(err, failed) || called != method.Name {
			t.Errorf("%s answered %v after calling the hook as %q", method.Name, err, called)
		}
	}
}

func TestFaultyLosesTheAnswerOfWhatHappened(t *testing.T) {
	t.Parallel()
	store := &dbtest.Faulty{
		Store: memory.New(memory.Config{}),
		After: func(method string) error {
			if method == "CreateTopic" {
				return service.ErrOutcomeUnknown
			}
			return nil
		},
	}
	head, err := store.CreateTopic(t.Context(), service.NewTopic{Name: "a"})
	if !errors.Is(err, service.ErrOutcomeUnknown) || head.ID != 0 {
		t.Errorf("CreateTopic answered %+v, %v", head, err)
	}
	heads, err := store.Heads(t.Context(), []service.TopicName{"a"})
	if err != nil || len(heads) != 1 {
		t.Errorf("Heads answered %d heads, %v, though the topic was created", len(heads), err)
	}
}
