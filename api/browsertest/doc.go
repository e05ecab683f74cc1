// Package browsertest opens Swagger UI, as the broker serves it at /docs, in a
// real browser, and tries the calls as a person would. It also reads a stream by
// the browser's EventSource, over connections that are cut.
//
// Its tests have the build tag browser and are run by "make test-browser". Where
// there is no browser they fail.
package browsertest
