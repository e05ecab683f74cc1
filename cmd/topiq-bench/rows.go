package main

import (
	"context"
	"strconv"
)

// row is one line of the table.
type row struct {
	engine, name, title string
	// args are those of `topiq bench`, beside store, rounds and times. Where measure is set that is
	// called instead.
	args    []string
	measure func(context.Context, *measurement, *result) error
}

// result is what came out of a row: what `topiq bench` has reported, or facts of other kinds.
type result struct {
	row    row
	report report
	facts  []fact
	err    error
}

// fact is something that is no rate, such as bytes for each client.
type fact struct {
	name, unit string
	value      float64
	low, high  float64 // of the rounds; both 0 if there was only one
}

// standardRows are all rows, in the order in which they are measured.
func standardRows() (rows []row) {
	for _, engine := range []string{"memory", "sqlite", "postgres"} {
		rows = append(rows, benchRows(engine)...)
		rows = append(rows, row{
			engine: engine, name: "end-to-end", title: "end to end by long poll, 16 producers at half their full rate", measure: endToEndBy("poll"),
		}, row{
			engine: engine, name: "end-to-end-stream", title: "end to end by stream, 16 producers at half their full rate", measure: endToEndBy("stream"),
		})
		if engine == "postgres" {
			rows = append(rows, row{
				engine: engine, name: "brokers-4", title: "produce, 64 connections to 4 brokers",
				args: []string{"--connections=64", "--brokers=4"},
			}, row{
				engine: engine, name: "topics-in-turn", title: "produce, 256 connections, on 1,000 topics and on one in turn", measure: measureManyTopics,
			})
		}
		if engine != "memory" { // 10^7 messages are too many for it
			rows = append(rows, row{
				engine: engine, name: "large-topic", title: "a topic of 10^7 messages beside one of 10^4", measure: measureLargeTopic,
			})
		}
		if engine == "sqlite" {
			rows = append(rows, row{
				engine: engine, name: "cold-start", title: "start to ready on a file of 10^6 messages", measure: measureColdStart,
			})
		}
		rows = append(rows, row{
			engine: engine, name: "idle-pollers", title: "10,000 waiting long polls on 10,000 topics", measure: measureIdlePollers,
		}, row{
			engine: engine, name: "resident-memory", title: "memory of the broker under full load", measure: measureMemory,
		})
	}
	return rows
}

// benchRows are those that `topiq bench` measures by itself, beside the limits.
func benchRows(engine string) (rows []row) {
	add := func(name, title string, args ...string) {
		rows = append(rows, row{engine: engine, name: name, title: title, args: args})
	}
	for _, n := range []string{"1", "8", "64", "256"} {
		title := "produce, " + n + " connections"
		if n == "1" {
			title = "produce, 1 connection"
		}
		add("produce-"+n, title, "--connections="+n)
	}
	for _, n := range []int{10, 100, 1000} {
		add("batch-"+strconv.Itoa(n), "produce in batches of "+strconv.Itoa(n)+", 16 connections", "--connections=16", "--batch="+strconv.Itoa(n))
	}
	add("topics-1000", "produce, 256 connections, 1,000 topics", "--connections=256", "--topics=1000")
	add("payload-10k", "produce, 64 connections, payloads of 10 kB", "--connections=64", "--payload-bytes=10000")
	add("batch-100-payload-10k", "produce in batches of 100, 16 connections, payloads of 10 kB",
		"--connections=16", "--batch=100", "--payload-bytes=10000")
	add("consume-1", "plain consume, 64 consumers", "--consume", "--connections=64")
	add("consume-offset-100", "consume by offset near the end in batches of 100, 16 consumers",
		"--consume", "--way=offset", "--connections=16", "--batch=100")
	add("consume-history-1000", "cold history in batches of 1,000, 8 readers",
		"--consume", "--way=history", "--connections=8", "--batch=1000", "--preload=500000")
	return rows
}
