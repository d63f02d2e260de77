#!/usr/bin/env bash
# Fetches InfluxData's Flux compiler (libflux as WebAssembly, from npm) into target/flux-compiler, where the tests look for
# it. It checks the Flux that this product asks InfluxDB 2 with; it runs nothing. Needs node and npm.
set -euo pipefail

readonly version=0.8.40
readonly wasm_sha256=5f00a66be55a195f4505b7834e885b7f2092a2b8abd8434e86cae5834a19df9a

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
to=$root/target/flux-compiler
wasm=$to/node_modules/@influxdata/flux-lsp-browser/flux-lsp-browser_bg.wasm
if [[ ! -e $wasm ]]; then
    command -v npm >/dev/null || { echo 'get-flux-compiler: install nodejs and npm first' >&2; exit 1; }
    mkdir -p "$to"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$to" "@influxdata/flux-lsp-browser@$version"
fi
printf '%s  %s\n' "$wasm_sha256" "$wasm" | sha256sum --check --quiet ||
    { echo 'get-flux-compiler: the compiler is not the expected one; remove target/flux-compiler and try again' >&2; exit 1; }
