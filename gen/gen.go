// Package gen holds what tools write: the types, server and client of the HTTP
// contract (from openapi.yaml, by oapi-codegen) and the queries of the two SQL
// engines (from db/*/queries, by sqlc), and the licence texts of all that the
// program is made of.
//
// Only the configs, this file and its test, licenses/licenses.go and the tool
// behind it are written by hand. Run "go generate ./gen" after every change of
// openapi.yaml, of a migration, of a query or of go.mod, and commit the result. The versions of the tools are pinned in
// gen/tools/go.mod, a module of its own, so that they stay out of the module
// graph of topiq.
package gen

import _ "embed" // for Document

//go:generate go tool -modfile=tools/go.mod oapi-codegen -config wire/config.yaml ../openapi.yaml
//go:generate go tool -modfile=tools/go.mod oapi-codegen -config wireserver/config.yaml ../openapi.yaml
//go:generate go tool -modfile=tools/go.mod oapi-codegen -config wireclient/config.yaml ../openapi.yaml

// Without cgo, sqlc uses the WebAssembly build of the PostgreSQL parser: the same
// output, and no C compiler is needed.
//
//go:generate env CGO_ENABLED=0 go tool -modfile=tools/go.mod sqlc generate -f ../sqlc.yaml

//go:generate go -C tools run ./licenses ../.. ../licenses/licenses.txt

// The copy is for Document: go:embed reaches no file above its own directory.
//
//go:generate cp ../openapi.yaml openapi.yaml

// Document is openapi.yaml as it was written.
//
//go:embed openapi.yaml
var Document []byte
