package main

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/gen/wire"
	"github.com/topiq/topiq/service"
)

// limitNames are the members of Limits in the contract.
func limitNames() (names []string) {
	for field := range reflect.TypeFor[wire.Limits]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// TestEveryLimitIsAFlag checks that limits have the same names on the command line and in the
// contract, and that what is set is in force and shown.
func TestEveryLimitIsAFlag(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&limitFlags{})
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for _, flag := range parser.Model.Flags {
		if flag.Name != "help" {
			flags = append(flags, strings.ReplaceAll(flag.Name, "-", "_"))
		}
	}
	// The length of names is part of what is stored, so it cannot be set.
	want := slices.DeleteFunc(limitNames(), func(name string) bool { return name == "name_length" })
	if slices.Sort(flags); !slices.Equal(flags, slices.Sorted(slices.Values(want))) {
		t.Fatalf("flags  %q\nlimits %q", flags, want)
	}

	args, set := []string{"--store=memory:"}, map[string]int64{"name_length": service.MaxNameBytes}
	for i, name := range want {
		set[name] = 10_000 + int64(i)
		switch name {
		case "queue_bytes", "request_bytes":
			set[name] = 1<<20 + int64(i)
		case "reading_bytes": // never less than two bodies
			set[name] = 4<<20 + int64(i)
		}
		if strings.HasSuffix(name, "_seconds") {
			set[name] = 40 + int64(i)
		}
		args = append(args, "--"+strings.ReplaceAll(name, "_", "-")+"="+strconv.FormatInt(set[name], 10))
	}
	// One more than its default must not be less than its maximum.
	set["limit_max"], set["queue_bytes"] = 20_000, 2<<20
	args = append(args, "--limit-max=20000", "--queue-bytes=2MiB")
	info := infoOf(t, serveHere(t, args...).url)
	for name, value := range set {
		if info.Limits[name] != value {
			t.Errorf("%s: %d is shown, %d was set", name, info.Limits[name], value)
		}
	}
}

// TestDefaultLimits checks that the defaults in the help text are those of the broker.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	var flags limitFlags
	parser, err := kong.New(&flags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(nil); err != nil {
		t.Fatal(err)
	}
	want := service.DefaultLimits()
	want.TailBytes, want.StreamBytes = 0, 0 // no limits of the contract
	if got := flags.service(); got != want {
		t.Errorf("the flags say %+v\nthe broker    %+v", got, want)
	}
}

func infoOf(t *testing.T, url string) client.Info {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	info, err := c.Info(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return info
}
