#!/usr/bin/env bash
# Does what a newcomer does: clones the committed state into an empty folder and runs the two commands of
# README.md as they stand there. Nothing of this checkout is reused, so it takes as long as it would take them.
#
#   scripts/fresh-clone.sh
set -euo pipefail

readonly run_within_s=1800
readonly test_within_s=3600
root=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR RUSTFLAGS
git clone --quiet --no-hardlinks "$root" "$place/clone"
cd "$place/clone"
printf 'fresh clone of %s\n' "$(git log -1 --format='%h %s')"

# The line of a fenced block in README.md that begins with the given words, without its comment.
readme_command() {
    local line
    line=$(awk '/^```/ { inside = !inside; next } inside' README.md | grep -m1 "^$1" | sed 's/[[:space:]]*#.*//') ||
        { printf 'README.md names no "%s" command\n' "$1" >&2; return 1; }
    printf '%s\n' "$line"
}

run=$(readme_command 'cargo run')
test=$(readme_command 'cargo test')

printf '\n$ %s\n' "$run"
started=$SECONDS
# shellcheck disable=SC2086 # the words of the command line
scripts/demo-smoke.sh "$run_within_s" $run
printf '%s s from nothing to a stopped demo\n' "$((SECONDS - started))"

printf '\n$ %s\n' "$test"
started=$SECONDS
# shellcheck disable=SC2086
timeout "$test_within_s" $test </dev/null
printf '%s s for the tests\n' "$((SECONDS - started))"
