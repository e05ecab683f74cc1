package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oasdiff/yaml"
)

// What can be said here of the files by which topiq is packed, where there is neither Docker nor a running systemd:
// they can be read, and the commands, flags and variables in them are those of this program.

func rootFile(t *testing.T, elements ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(append([]string{docsRoot}, elements...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// accepted checks that a command line can be executed, without executing it.
func accepted(t *testing.T, file string, args []string) {
	t.Helper()
	parser, err := newParser(t.Context(), streams{}, func(int) { t.Errorf("%s: %q asks for help", file, args) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Errorf("%s: topiq %s: %v", file, strings.Join(args, " "), err)
	}
}

// variablesExist checks that the variables of ours that a file sets are those of flags of topiq serve, and that their
// values are taken.
func variablesExist(t *testing.T, file, text string) {
	t.Helper()
	var known []string
	for _, leaf := range docsModel(t).Leaves(true) {
		for _, flag := range leaf.Flags {
			if leaf.Name == "serve" {
				known = append(known, flag.Envs...)
			}
		}
	}
	found := regexp.MustCompile(`\b(TOPIQ_[A-Z_]+)=([^\s,]+)`).FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		t.Errorf("%s sets no variable", file)
	}
	for _, variable := range found {
		if !slices.Contains(known, variable[1]) {
			t.Errorf("%s: no flag of topiq serve is set by %s", file, variable[1])
		}
		flag := "--" + strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(variable[1], "TOPIQ_")), "_", "-")
		accepted(t, file, []string{"serve", flag + "=" + variable[2]})
	}
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := rootFile(t, "Dockerfile")
	variablesExist(t, "Dockerfile", text)
	var entry []string
	for _, instruction := range []string{"ENTRYPOINT ", "CMD ", `HEALTHCHECK .* CMD `} {
		found := regexp.MustCompile(`(?m)^` + instruction + `(\[.*\])$`).FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("there is no %s", instruction)
		}
		var args []string
		if err := json.Unmarshal([]byte(found[1]), &args); err != nil {
			t.Fatalf("%s: %v", instruction, err)
		}
		switch instruction {
		case "ENTRYPOINT ":
			entry = args
		case "CMD ":
			accepted(t, "Dockerfile", append(slices.Clone(entry[1:]), args...))
		default:
			if args[0] != entry[0] {
				t.Errorf("the health check runs %s, which is not in the image", args[0])
			}
			accepted(t, "Dockerfile", args[1:])
		}
	}
	build := regexp.MustCompile(`go build (.*) -o`)
	inImage, inMake := build.FindStringSubmatch(text), build.FindStringSubmatch(rootFile(t, "Makefile"))
	plain := strings.NewReplacer(`"`, "", "'", "", "$(VERSION)", "$VERSION", "-buildvcs=false ", "")
	if inImage == nil || inMake == nil || plain.Replace(inImage[1]) != plain.Replace(inMake[1]) {
		t.Errorf("the image is built with %q, and make build with %q", inImage, inMake)
	}
	version := regexp.MustCompile(`FROM golang:(\S+)`).FindStringSubmatch(text)
	if version == nil || !strings.Contains(rootFile(t, "go.mod"), "\ngo "+version[1]+".") {
		t.Errorf("the image is built with Go %q, which is not that of go.mod", version)
	}
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", "\nVOLUME /var/lib/topiq\n", "\nEXPOSE 8080\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no line %q", strings.TrimSpace(want))
		}
	}
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	var file struct {
		Services map[string]struct {
			Command     []string
			Environment map[string]string
			Ports       []string
			HealthCheck struct{ Test []string }
			DependsOn   map[string]struct{ Condition string } `json:"depends_on"`
		}
	}
	if _, err := yaml.Unmarshal([]byte(rootFile(t, "compose.yaml")), &file, yaml.DecodeOpts{}); err != nil {
		t.Fatal(err)
	}
	ports := map[string]bool{}
	for _, name := range []string{"broker-1", "broker-2"} {
		broker := file.Services[name]
		accepted(t, "compose.yaml", broker.Command)
		if !slices.Contains(broker.Command, "--store=postgres://topiq@postgres/topiq") {
			t.Errorf("%s is not on the database", name)
		}
		if broker.DependsOn["postgres"].Condition != "service_healthy" {
			t.Errorf("%s does not wait for the database", name)
		}
		for _, port := range broker.Ports {
			// Nobody is asked for a token.
			if !strings.HasPrefix(port, "127.0.0.1:") || !strings.HasSuffix(port, ":8080") || ports[port] {
				t.Errorf("%s is published as %s", name, port)
			}
			ports[port] = true
		}
		if broker.Environment["PGPASSWORD"] != file.Services["postgres"].Environment["POSTGRES_PASSWORD"] {
			t.Errorf("%s has not the password of the database", name)
		}
	}
	if len(ports) != 2 || len(file.Services) != 3 || len(file.Services["postgres"].HealthCheck.Test) == 0 {
		t.Errorf("there are the services %v with the ports %v", file.Services, ports)
	}
}

func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	text := rootFile(t, "docs", "topiq.service")
	variablesExist(t, "docs/topiq.service", text)
	command := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/topiq (.*)$`).FindStringSubmatch(text)
	if command == nil {
		t.Fatal("it does not start topiq")
	}
	accepted(t, "docs/topiq.service", strings.Fields(command[1]))
	if !strings.Contains(text, "\nRestartPreventExitStatus=2\n") || exitUsage != 2 {
		t.Error("a command line that cannot be executed is tried for ever")
	}
}
