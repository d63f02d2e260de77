#!/usr/bin/env bash
# Fetches the library ONNX Runtime, with which models run 5 to 10 times faster than without. It comes out of
# Microsoft's wheel on PyPI, whose checksum stands below; nothing is installed into the system.
#
#   scripts/get-onnxruntime.sh             # to onnxruntime/lib/libonnxruntime.so in this repository
#   scripts/get-onnxruntime.sh --to DIR    # to DIR/libonnxruntime.so
#
# Needs Python 3 with pip, and Linux with glibc 2.28 or newer on x86_64 or aarch64. Does nothing when the library is
# there already.
set -euo pipefail

readonly version=1.31.1
# The wheel is one for Python 3.11 whatever Python runs pip, so that everybody gets the same file.
readonly python=3.11 abi=cp311
readonly member=onnxruntime/capi/libonnxruntime.so.$version

fail() {
    printf 'get-onnxruntime: %s\n' "$1" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
to=$root/onnxruntime/lib
case "$#:${1:-}" in
    0:) ;;
    2:--to) to=$2 ;;
    *) fail 'usage: get-onnxruntime.sh [--to DIR]' ;;
esac

machine=$(uname -m)
case "$(uname -s) $machine" in
    'Linux x86_64')
        wheel_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
        library_sha256=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
        ;;
    'Linux aarch64')
        wheel_sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
        library_sha256=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
        ;;
    *) fail "there is no library for $(uname -s) on $machine here; sunshine runs without it, more slowly" ;;
esac
platform=manylinux_2_28_$machine
library=$to/libonnxruntime.so

# Whether file $1 has the SHA-256 $2.
is() { printf '%s  %s\n' "$2" "$1" | sha256sum --check --status 2>/dev/null; }

if [[ -f $library ]] && is "$library" "$library_sha256"; then
    printf '%s is there already (ONNX Runtime %s)\n' "$library" "$version"
    exit
fi

command -v python3 >/dev/null || fail 'there is no python3; install it (Debian: apt-get install python3 python3-pip)'
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (Debian: apt-get install python3-pip)'

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
printf 'fetching onnxruntime %s for %s\n' "$version" "$machine"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --implementation cp --python-version "$python" --abi "$abi" --platform "$platform" \
    --dest "$place" "onnxruntime==$version" ||
    fail 'pip could not fetch the wheel; check the network and the index that pip uses'

wheel=$place/onnxruntime-$version-$abi-$abi-$platform.whl
[[ -f $wheel ]] || fail "pip fetched something else: $(ls "$place")"
is "$wheel" "$wheel_sha256" ||
    fail "the wheel's SHA-256 is $(sha256sum "$wheel" | cut -c1-12)… and should be ${wheel_sha256:0:12}…; it is not used"

# A wheel is a zip archive, which Python reads by itself.
python3 - "$wheel" "$member" "$place/library" <<'PYTHON'
import shutil
import sys
import zipfile

wheel, member, to = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(to, "wb") as target:
    shutil.copyfileobj(source, target)
PYTHON
is "$place/library" "$library_sha256" || fail 'the library in the wheel is not the one expected; it is not used'

mkdir -p "$to" || fail "$to cannot be made"
# Renamed into place: a server that starts meanwhile finds all of it or nothing.
install -m 0644 "$place/library" "$library.new.$$"
mv -f "$library.new.$$" "$library"
printf '%s is ready (ONNX Runtime %s)\n' "$library" "$version"
