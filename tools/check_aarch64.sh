#!/bin/sh
# check_aarch64.sh - builds for 64-bit ARM with the cross compiler, without OpenBLAS, and runs the tests under
# qemu-user: the NEON kernels on what qemu takes for instructions, the tiers of x86 emulated twice over.
#
#   sh tools/check_aarch64.sh           kernels, unit tests and two drawings
#   sh tools/check_aarch64.sh slow      what takes minutes each: whole runs, hostile files, every network
#
# The libraries for ARM are fetched as Debian packages with a package list of their own and unpacked into the
# build folder: the architectures and packages of the system stay as they are.
set -eu
which=${1:-fast}
cd "$(dirname "$0")/.."
case ${BUILD:=build} in /*) ;; *) BUILD=$(pwd)/$BUILD ;; esac
build=$BUILD/aarch64
root=$build/root
packages="libcjson1 libcjson-dev zlib1g zlib1g-dev libcmocka0 libcmocka-dev"
slow="test_determinism test_hostile test_models test_pipeline test_plan test_runs"

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
emulator="qemu-aarch64 -L /usr/aarch64-linux-gnu"
set -- CROSS=aarch64-linux-gnu- OPENBLAS=0 BUILD="$build" EMULATOR="$emulator" \
    CPPFLAGS="-isystem $root/usr/include -isystem $build/include" \
    LDFLAGS="-L$lib -Wl,-rpath,$lib:$root/lib/aarch64-linux-gnu"
make -s -j"$(nproc)" "$@" test-programs

fast=check
for file in tests/test_*.c; do
    name=$(basename "$file" .c)
    case " $slow " in *" $name "*) ;; *) fast="$fast $name" ;; esac
done
if [ "$which" = slow ]; then
    exec make -s "$@" TESTS="$slow" check
fi
make -s "$@" TESTS="$fast" check

# Two drawings: the same bits from one thread and from two.
for threads in 1 2; do
    $emulator "$build/sdgen" -m models/data/sdgen-emoji.safetensors -p "a fox" --steps 2 --cfg-scale 5 -s 1 -t $threads \
        -o "$build/$threads.png"
done
cmp "$build/1.png" "$build/2.png"
echo "ok - two drawings for 64-bit ARM, the same"
