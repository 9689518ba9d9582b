#!/bin/sh
# setup.sh - installs what sdgen needs to be built and tested, on Debian and Ubuntu.
#
#   sh tools/setup.sh [build|check|full]
#
# "build" (the default) is enough for `make` and `make demo`, "check" adds what `make check` uses, "full" what
# `make check-full` and the sanitizers use. Only missing packages are installed, without questions, as root
# or through sudo. Where there is no apt the packages are listed and the script stops with status 1.
set -eu

BUILD_PACKAGES="make gcc libc6-dev libopenblas-dev libcjson-dev libstb-dev zlib1g-dev"
CHECK_PACKAGES="$BUILD_PACKAGES libcmocka-dev clang-format binutils groff-base"
FULL_PACKAGES="$CHECK_PACKAGES clang libclang-rt-dev libomp-dev llvm gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    qemu-user python3-venv"

say() { echo "setup: $*"; }

# Prints those of the packages that dpkg does not know as installed.
missing_of() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
        case $state in
        ii*) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

case ${1:-build} in
build) wanted=$BUILD_PACKAGES ;;
check) wanted=$CHECK_PACKAGES ;;
full) wanted=$FULL_PACKAGES ;;
*)
    say "unknown set '$1': build, check or full" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
    say "this system has no apt-get; please install what corresponds to these Debian packages:" >&2
    say "  $wanted" >&2
    say "and then call make yourself (make demo, make check)" >&2
    exit 1
fi

# shellcheck disable=SC2086 # the lists are meant to be split
missing=$(missing_of $wanted)
if [ -z "$missing" ]; then
    say "every package is there"
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo env"
else
    say "these packages are missing, and installing them takes root or sudo:" >&2
    say "  apt-get install $missing" >&2
    exit 1
fi

# The package lists of a fresh system may be empty or old: fetch them, and go on with what is there if
# that fails.
say "installing $missing"
$as_root DEBIAN_FRONTEND=noninteractive apt-get -q update </dev/null ||
    say "apt-get update failed; trying with the package lists at hand" >&2
# shellcheck disable=SC2086
$as_root DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing </dev/null
say "done"
