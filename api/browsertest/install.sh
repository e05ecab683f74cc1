#!/bin/sh
# Makes sure that the test finds a browser: looks for the names that it looks for
# (browser_test.go), and where there is none installs Debian's Chromium.
set -eu

found() {
    for name in chromium chromium-browser google-chrome google-chrome-stable chrome \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}

if found; then
    exit 0
fi

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "The test needs a browser: install Chromium or Google Chrome (Debian: apt-get install chromium," \
        "macOS: brew install --cask google-chrome), or run make test-browser once as root on Debian." >&2
    exit 1
fi

echo "Installing Chromium for the test"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends chromium >/dev/null

if ! found; then
    echo "Chromium was installed, but is not on PATH." >&2
    exit 1
fi
