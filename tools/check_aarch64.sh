#!/bin/sh
# check_aarch64.sh - builds for 64-bit ARM with the cross compiler and runs every test under qemu-user, with the
# reference kernels and without OpenBLAS.
#
# The libraries for ARM are fetched as Debian packages with a package list of their own and unpacked into the
# build folder: the architectures and packages of the system stay as they are.
set -eu
cd "$(dirname "$0")/.."
case ${BUILD:=build} in /*) ;; *) BUILD=$(pwd)/$BUILD ;; esac
build=$BUILD/aarch64
root=$build/root
packages="libcjson1 libcjson-dev zlib1g zlib1g-dev libcmocka0 libcmocka-dev"

apt_arm64() {
    apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$build/apt" -o Dir::State::Lists="$build/apt/lists" \
        -o Dir::State::status="$build/apt/status" -o Dir::Cache="$build/apt/cache" "$@"
}

# Downloads and unpacks $packages for arm64 into $root.
fetch() {
    mkdir -p "$build/apt/lists/partial" "$build/apt/cache/archives/partial" "$root"
    : >"$build/apt/status"
    apt_arm64 update
    cd "$build/apt"
    # shellcheck disable=SC2086 # a list
    apt_arm64 download $packages
    for package in ./*_arm64.deb; do
        dpkg -x "$package" "$root"
    done
    cd "$OLDPWD"
    : >"$root/complete"
}
[ -f "$root/complete" ] || fetch

# stb is headers alone, the same for every processor: taken from the system.
mkdir -p "$build/include"
ln -sfn /usr/include/stb "$build/include/stb"
lib=$root/usr/lib/aarch64-linux-gnu
set -- CROSS=aarch64-linux-gnu- OPENBLAS=0 BUILD="$build" EMULATOR="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
    CPPFLAGS="-isystem $root/usr/include -isystem $build/include" \
    LDFLAGS="-L$lib -Wl,-rpath,$lib:$root/lib/aarch64-linux-gnu"
make -s -j"$(nproc)" "$@" test-programs
exec make -s "$@" check
