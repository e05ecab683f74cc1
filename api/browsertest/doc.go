// Package browsertest opens Swagger UI, as the broker serves it at /docs, in a
// real browser, and tries the calls as a person would.
//
// Its test has the build tag browser and is run by "make test-browser". Where
// there is no browser it fails.
package browsertest
