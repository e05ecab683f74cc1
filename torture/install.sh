#!/bin/sh
# Makes sure that the suite finds what it runs: PostgreSQL, and the programs that make ext4 and XFS. Installs what is
# missing on Debian or Ubuntu, as root. Root is also needed to run the suite's power cuts, full disks, failing disks
# and memory limits.
set -eu

"$(dirname "$0")/../db/postgres/pgtest/install.sh"

missing=
command -v mkfs.ext4 >/dev/null || missing="$missing e2fsprogs"
command -v mkfs.xfs >/dev/null || missing="$missing xfsprogs"
command -v mount >/dev/null || missing="$missing mount"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "The suite needs$missing: install them, or run torture/install.sh once as root on Debian." >&2
    exit 1
fi

echo "Installing$missing for the suite"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # several words
apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends $missing >/dev/null
