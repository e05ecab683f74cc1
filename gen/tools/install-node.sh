#!/bin/sh
# Makes sure that there is Node.js with npm, for what is written in JavaScript:
# the linter of openapi.yaml, and the TypeScript client and its generator. Where
# there is none, installs the one of Debian or Ubuntu.
set -eu

need="Node.js 18.20 or later with npm"

found() {
    command -v node >/dev/null && command -v npm >/dev/null
}

if ! found; then
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        echo "This needs $need: install your system's package (Debian: apt-get install nodejs npm," \
            "macOS: brew install node), or run make once as root on Debian." >&2
        exit 1
    fi
    echo "Installing Node.js and npm"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends nodejs npm >/dev/null
    if ! found; then
        echo "Node.js was installed, but node and npm are not on PATH." >&2
        exit 1
    fi
fi

if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 18 || major === 18 && minor >= 20 ? 0 : 1)'; then
    echo "This needs $need; $(command -v node) is $(node --version)." >&2
    exit 1
fi
