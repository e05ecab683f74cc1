// Package hostile has clients that mean no good: some are slow on purpose, some send what no broker
// should take. They speak TCP, for no HTTP library would do what they do.
package hostile
