#!/usr/bin/env bash
# Makes the video that `cargo bench -p sunshine-vision --bench frames` and `scripts/vision-bench.py` judge: a 720p
# stream as a camera sends it, a key frame a second, sensor noise, and for a fifth of the time somebody who walks
# through the picture. From drawn people of this repository and a free portrait; nothing is downloaded.
#
#     scripts/bench-video.sh /tmp/kitchen.h264 [seconds, default 60] [frames per second, default 15]
#
# Beside it lies the same, repeated for half an hour, as kitchen.mkv: for `scripts/bench-rtsp.py`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:?name the file to write}
seconds=${2:-60}
fps=${3:-15}
portrait=vision/tests/fixtures/astronaut.png

ffmpeg -loglevel error -y \
    -loop 1 -framerate "$fps" -t "$seconds" -i vision/tests/fixtures/chelsea.png \
    -loop 1 -framerate "$fps" -t "$seconds" -i "$portrait" \
    -filter_complex "[0:v]scale=1280:720,gblur=sigma=18[room];[1:v]scale=-1:560[cook];\
[room][cook]overlay=x='-300+150*mod(t,60)':y=160:enable='lt(mod(t,60),12)',noise=alls=6:allf=t,format=yuv420p" \
    -c:v libx264 -profile:v main -preset veryfast -g "$fps" -keyint_min "$fps" -sc_threshold 0 -bf 0 -b:v 1500k \
    -x264-params "repeat-headers=1" -f h264 "$out"

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
for ((n = 0; n < 1800; n += seconds)); do cat "$out"; done >"$place/long.h264"
ffmpeg -loglevel error -y -framerate "$fps" -i "$place/long.h264" -c copy "${out%.*}.mkv"
