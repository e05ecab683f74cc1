#!/bin/sh
# Makes sure that the tests find a PostgreSQL server: looks where pgtest looks
# (programs.go), and where there is none installs the one of Debian or Ubuntu.
# The tests start their own servers, so no cluster of the system is created.
set -eu

found() {
    [ -n "${TOPIQ_TEST_POSTGRES_URL:-}" ] && return 0
    if initdb=$(command -v initdb); then
        set -- "$(dirname "$(readlink -f "$initdb")")"
    fi
    for dir in "$@" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        /home/linuxbrew/.linuxbrew/opt/postgresql*/bin; do
        [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0
    done
    return 1
}

if found; then
    exit 0
fi

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "The tests need a PostgreSQL server (version 13 or later): install your system's package" \
        "(Debian: apt-get install postgresql, macOS: brew install postgresql)," \
        "or run make test once as root on Debian, or set TOPIQ_TEST_POSTGRES_URL." >&2
    exit 1
fi

echo "Installing PostgreSQL for the tests"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# postgresql-common brings the file that says whether installing a server
# creates a cluster and starts it, and so has to come first.
apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends postgresql-common >/dev/null
sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends postgresql >/dev/null

if ! found; then
    echo "PostgreSQL was installed, but not where the tests look for initdb and postgres." >&2
    exit 1
fi
