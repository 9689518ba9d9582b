#!/bin/sh
# test_install.sh - `make install` into an empty folder, a program on the installed library (example.c), and
# `make uninstall`. Prints TAP.
set -u
: "${TOP:=$(pwd)}" "${BUILD:=$TOP/build}" "${CC:=cc}" "${CFLAGS:=-O2}" "${LDFLAGS:=}" "${EMULATOR:=}"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0
ok() { # ok STATUS TEXT
    n=$((n + 1))
    [ "$1" -eq 0 ] && { echo "ok $n - $2"; return; }
    echo "not ok $n - $2"
    sed 's/^/# /' "$tmp/log"
}
prefix=/opt/sdgen
root=$tmp/root$prefix
run_make() { make -s -C "$TOP" CC="$CC" BUILD="$BUILD" DESTDIR="$tmp/root" PREFIX=$prefix EMULATOR="$EMULATOR" "$@" >>"$tmp/log" 2>&1; }

: >"$tmp/log"
run_make install
ok $? "make install"

missing=0
for file in bin/sdgen lib/libsdgen.a lib/libsdgen.so lib/pkgconfig/sdgen.pc include/sdgen.h share/man/man1/sdgen.1 \
    share/bash-completion/completions/sdgen; do
    [ -s "$root/$file" ] || { echo "missing or empty: $file" >>"$tmp/log"; missing=1; }
done
ok $missing "program, library, header, manual, pkg-config file and completion are there"

$EMULATOR "$root/bin/sdgen" --version >>"$tmp/log" 2>&1
ok $? "the installed program starts"

version=$(sed -n 's/^Version: //p' "$root/lib/pkgconfig/sdgen.pc")
[ -n "$version" ] && grep -qF "\"$version\"" "$root/include/sdgen.h" && ! grep -q '@' "$root/lib/pkgconfig/sdgen.pc"
ok $? "the pkg-config file names version $version and leaves nothing open"

# shellcheck disable=SC2086 # flags are lists
$CC $CFLAGS -std=c11 -I"$root/include" "$TOP/tests/example.c" -L"$root/lib" $LDFLAGS -lsdgen -Wl,-rpath,"$root/lib" \
    -o "$tmp/example" >>"$tmp/log" 2>&1
ok $? "example.c compiles with the installed header and library alone"

$EMULATOR "$tmp/example" "$TOP/models/data/sdgen-emoji.safetensors" "a fox on a blue background" "$tmp/fox.png" \
    >>"$tmp/log" 2>&1 && [ "$(head -c 4 "$tmp/fox.png" | tail -c 3)" = PNG ]
ok $? "example.c draws"

run_make uninstall && [ -z "$(find "$tmp/root" ! -type d)" ]
ok $? "make uninstall leaves no file"
echo "1..$n"
