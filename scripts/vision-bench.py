#!/usr/bin/env python3
"""What the same model costs in Python: decode, letterbox, detect, suppress, on one thread.

The peer of `cargo bench -p sunshine-vision`: ONNX Runtime and OpenCV as most such services use them. Run both on the
same quiet machine, one after the other, and compare the lines of the same name.

    python3 -m venv /tmp/bench && /tmp/bench/bin/pip install onnxruntime==1.31.1 opencv-python-headless numpy
    /tmp/bench/bin/python scripts/vision-bench.py models/person_nanodet_g_i8.onnx vision/tests/fixtures/astronaut.png

The picture may be a JPEG or PNG file, decoded anew for every round, or a video (H.264, H.265), decoded frame by frame.
With --every 15 one frame in fifteen is judged; the others are decoded, because later ones rest on them, but not made into
pictures. That is the peer of `cargo bench -p sunshine-vision --bench frames -- video.h264`.
"""

import argparse
import time

import cv2
import numpy as np
import onnxruntime as ort

LABELS = 80
BINS = 11
STRIDES = (8, 16, 32)
MEAN = np.array([103.53, 116.28, 123.675], np.float32)
STD = np.array([57.375, 57.12, 58.395], np.float32)
VIDEO = (".mp4", ".mkv", ".h264", ".264", ".h265", ".265", ".avi")


def pictures(path, every):
    """Yields decoded pictures without end, and what decoding each and those skipped before it took, in seconds."""
    if path.lower().endswith(VIDEO):
        while True:
            video = cv2.VideoCapture(path)
            began = time.perf_counter()
            more, picture = video.read()
            if not more:
                raise SystemExit(f"{path}: no picture in it")
            while more:
                yield picture, time.perf_counter() - began
                began = time.perf_counter()
                if all(video.grab() for _ in range(every - 1)):
                    more, picture = video.read()
                else:
                    more = False
    data = np.fromfile(path, np.uint8)
    while True:
        began = time.perf_counter()
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if picture is None:
            raise SystemExit(f"{path}: not a picture")
        yield picture, time.perf_counter() - began


def letterbox(picture, side):
    """The picture as the model takes it in, and by how much it was scaled and moved."""
    height, width = picture.shape[:2]
    scale = min(side / width, side / height)
    across, down = round(width * scale), round(height * scale)
    left, top = (side - across) // 2, (side - down) // 2
    laid = np.full((side, side, 3), 114, np.uint8)
    laid[top : top + down, left : left + across] = cv2.resize(
        picture, (across, down), interpolation=cv2.INTER_LINEAR
    )
    normalised = (laid.astype(np.float32) - MEAN) / STD
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None]), (scale, left, top)


def centres(side):
    """The middle of every cell, and its stride."""
    rows = []
    for stride in STRIDES:
        n = -(-side // stride)
        y, x = np.mgrid[0:n, 0:n]
        rows.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, np.full_like(x, stride)], -1).reshape(-1, 3))
    return np.concatenate(rows).astype(np.float32)


def decode(output, cells, placed, least):
    """Labels, scores and boxes, overlapping ones suppressed."""
    scores, logits = output[:, :LABELS], output[:, LABELS:]
    label = scores.argmax(1)
    score = scores[np.arange(len(label)), label]
    keep = score >= least
    label, score, cells = label[keep], score[keep], cells[keep]
    logits = logits[keep].reshape(-1, 4, BINS)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    distance = (shares @ np.arange(BINS, dtype=np.float32)) * cells[:, 2:]
    scale, left, top = placed
    edges = np.concatenate([cells[:, :2] - distance[:, :2], cells[:, :2] + distance[:, 2:]], 1)
    edges = (edges - np.array([left, top, left, top], np.float32)) / scale
    # Moved apart by label, so that only boxes of one label suppress each other.
    apart = edges + (label * 4096.0)[:, None]
    boxes = np.concatenate([apart[:, :2], apart[:, 2:] - apart[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), score.tolist(), least, 0.5)
    return [(int(label[i]), float(score[i]), edges[i]) for i in np.array(kept).reshape(-1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the detector, NanoDet")
    parser.add_argument("picture", help="a JPEG, a PNG or a video")
    parser.add_argument("--side", type=int, default=416, help="side of the model's input in points, default 416")
    parser.add_argument("--rounds", type=int, default=200, help="pictures, default 200")
    parser.add_argument("--every", type=int, default=1, help="of a video, judge one frame in so many, default 1")
    parser.add_argument("--score", type=float, default=0.4, help="least score, default 0.4")
    args = parser.parse_args()

    cv2.setNumThreads(1)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    cells = centres(args.side)

    stages = {stage: [] for stage in ("decode", "prepare", "infer", "suppress", "whole")}
    found = []
    source = pictures(args.picture, args.every)
    cpu = 0.0
    for round_ in range(-5, args.rounds):
        began_cpu = time.process_time()
        picture, decoded = next(source)
        began = time.perf_counter()
        tensor, placed = letterbox(picture, args.side)
        prepared = time.perf_counter()
        output = session.run(None, {name: tensor})[0][0]
        inferred = time.perf_counter()
        found = decode(output, cells, placed, args.score)
        ended = time.perf_counter()
        if round_ < 0:
            continue
        cpu += time.process_time() - began_cpu
        spans = (decoded, prepared - began, inferred - prepared, ended - inferred, decoded + ended - began)
        for stage, span in zip(stages, spans):
            stages[stage].append(span * 1e3)
    height, width = picture.shape[:2]
    print(f"python onnxruntime {ort.__version__}, opencv {cv2.__version__}, {width}x{height}, side {args.side}")
    for stage, spans in stages.items():
        print(f"python/{stage:9} median {np.median(spans):7.2f} ms   least {min(spans):7.2f} ms")
    print(f"python/cpu       {cpu / args.rounds * 1e3:7.2f} ms per picture, {args.rounds / cpu:6.1f} pictures per core second")
    print("found", [(label, round(score, 2), [round(float(e)) for e in edges]) for label, score, edges in found])


if __name__ == "__main__":
    main()
