#!/usr/bin/env python3
"""Writes the small ONNX models that decoders and the catalogue are tested on.

    pip install onnx numpy
    scripts/make-test-models.py [FOLDER]        # models/tests unless given

`graphs/` holds one model for each kind, whose output is constant whatever it is fed, so that a test knows which boxes
must come out; `graphs/expected.toml` names them. `broken/` holds what must be refused, or what lies about its output
when it runs. The same script always writes the same bytes.
"""

import hashlib
import math
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT = 96, 64
STRIDES = (8, 16, 32)
LABELS = ["person", "cat", "cell phone"]
SCORE, IOU, PHONE_SCORE = 0.4, 0.6, 0.5
F32, I64 = TensorProto.FLOAT, TensorProto.INT64

# Class, score, left, top, right, bottom in pixels of the input, and the stride of the cell that finds it.
FOUND = [
    (0, 0.90, 12, 10, 36, 58, 8),
    (1, 0.80, 13, 4, 36, 58, 8),  # overlaps the first, but is of another label
    (0, 0.55, 56, 8, 80, 48, 16),
    (0, 0.45, 60, 20, 96, 64, 32),  # overlaps the one before too little
]
SUPPRESSED = [(0, 0.60, 13, 11, 37, 58, 16)]  # the first one again, less sure
TOO_WEAK = [
    (0, 0.30, 2, 2, 10, 10, 8),
    (2, 0.45, 40, 4, 48, 20, 8),  # above the model's threshold, below that of its label
]
BOXES = FOUND + SUPPRESSED + TOO_WEAK


def log(x):
    """Rounded, so that no mathematical library makes a difference."""
    return round(math.log(x), 6)


def cells():
    """Every cell in the order of detectors with a grid: stride, column, row."""
    for stride in STRIDES:
        for row in range(HEIGHT // stride):
            for column in range(WIDTH // stride):
                yield stride, column, row


def cell_of(box):
    """The number and place of the cell that holds the centre of `box`."""
    _, _, left, top, right, bottom, stride = box
    wanted = (stride, int((left + right) / 2 // stride), int((top + bottom) / 2 // stride))
    return list(cells()).index(wanted), wanted


assert len({cell_of(box) for box in BOXES}) == len(BOXES), "a cell finds one thing only"


def centred(box):
    _, _, left, top, right, bottom, _ = box
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def distance_logits(distance):
    """Eleven logits whose softmax has `distance` as its mean."""
    logits, whole = [-50.0] * 11, int(distance)
    part = distance - whole
    assert 0 <= distance <= 10, distance
    logits[whole] = log(1 - part) if part else 0.0
    if part:
        logits[whole + 1] = log(part)
    return logits


def nanodet():
    table = np.zeros((1, len(list(cells())), len(LABELS) + 44), np.float32)
    table[..., : len(LABELS)] = 0.01
    for box in BOXES:
        number, (stride, column, row) = cell_of(box)
        label, score, left, top, right, bottom, _ = box
        x, y = (column + 0.5) * stride, (row + 0.5) * stride
        table[0, number, label] = score
        distances = [(x - left) / stride, (y - top) / stride, (right - x) / stride, (bottom - y) / stride]
        table[0, number, len(LABELS) :] = sum((distance_logits(d) for d in distances), [])
    return table


def yolov5():
    table = np.zeros((1, 12, 5 + len(LABELS)), np.float32)
    for n, box in enumerate(BOXES):
        table[0, n + 2, :4] = centred(box)
        table[0, n + 2, 4] = 0.95
        table[0, n + 2, 5 + box[0]] = box[1] / 0.95
    # Sure that something is there, not sure of what.
    table[0, 0] = [48, 32, 10, 10, 1.0, 0.1, 0.1, 0.1]
    return table


def yolov8():
    table = np.zeros((1, 4 + len(LABELS), 12), np.float32)
    for n, box in enumerate(BOXES):
        table[0, :4, n + 2] = centred(box)
        table[0, 4 + box[0], n + 2] = box[1]
    return table


def yolox():
    table = np.zeros((1, len(list(cells())), 5 + len(LABELS)), np.float32)
    for box in BOXES:
        number, (stride, column, row) = cell_of(box)
        x, y, width, height = centred(box)
        table[0, number, :4] = [x / stride - column, y / stride - row, log(width / stride), log(height / stride)]
        table[0, number, 4] = 0.95
        table[0, number, 5 + box[0]] = box[1] / 0.95
    return table


def detr():
    logits = np.full((1, 10, len(LABELS) + 1), log(1e-4), np.float32)
    boxes = np.full((1, 10, 4), 0.5, np.float32)
    logits[0, :, -1] = log(0.9997)
    for n, box in enumerate(BOXES):
        logits[0, n + 1, box[0]] = log(box[1])
        logits[0, n + 1, -1] = log(1 - box[1] - 2e-4)
        boxes[0, n + 1] = np.array(centred(box)) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    return logits, boxes


def ssd():
    boxes, classes, scores = np.zeros((1, 10, 4)), np.zeros((1, 10)), np.zeros((1, 10))
    for n, (label, score, left, top, right, bottom, _) in enumerate(BOXES):
        boxes[0, n] = np.array([top, left, bottom, right]) / [HEIGHT, WIDTH, HEIGHT, WIDTH]
        classes[0, n], scores[0, n] = label + 1, score
    # A class that the card does not know, and one that is never told.
    boxes[0, 8:], classes[0, 8:], scores[0, 8:] = [0.1, 0.1, 0.9, 0.9], [99, 0], 0.9
    return tuple(x.astype(np.float32) for x in (boxes, classes, scores))


# In the 16 × 16 grid of 128 pixels with two anchors a cell, and in the 8 × 8 grid with six.
FACES = [
    {"anchor": 2 * (5 * 16 + 3), "centre": (28.0, 44.0), "score": 0.9, "box": (20, 34, 44, 62)},
    {"anchor": 512 + 6 * (4 * 8 + 5) + 2, "centre": (88.0, 72.0), "score": 0.7, "box": (70, 50, 110, 98)},
    {"anchor": 2 * (5 * 16 + 4) + 1, "centre": (36.0, 44.0), "score": 0.3, "box": (90, 2, 100, 12)},
]


def blazeface():
    regressors, logits = np.zeros((1, 896, 16)), np.full((1, 896, 1), -20.0)
    for face in FACES:
        left, top, right, bottom = face["box"]
        x, y = face["centre"]
        points = [(left + right) / 2 - x, (top + bottom) / 2 - y] * 6
        row = [(left + right) / 2 - x, (top + bottom) / 2 - y, right - left, bottom - top] + points
        regressors[0, face["anchor"]] = row
        logits[0, face["anchor"], 0] = log(face["score"] / (1 - face["score"]))
    return regressors.astype(np.float32), logits.astype(np.float32)


JOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
).split()


def movenet():
    table = np.zeros((1, 1, 17, 3), np.float32)
    for n in range(17):
        table[0, 0, n] = [round(0.1 + 0.04 * n, 2), round(0.9 - 0.04 * n, 2), 0.9 if n % 2 else 0.1]
    return table


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(nodes, "test", inputs, outputs, list(weights))
    opsets = [helper.make_opsetid("", 13)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sunshine")


def weight(name, values):
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def sparse_rows(name, table, fill):
    """Makes `table` of its few rows that differ from `fill`, so that the file stays small."""
    nodes, weights = [], [weight(f"{name}_0", [fill])]
    whole = helper.make_node("Expand", [f"{name}_0", f"{name}_shape"], [f"{name}_all"])
    weights.append(numpy_helper.from_array(np.array(table.shape, np.int64), f"{name}_shape"))
    nodes.append(whole)
    last = f"{name}_all"
    for n in np.flatnonzero((table[0] != fill).any(axis=1)):
        row, pads, padded, added = (f"{name}_{n}_{what}" for what in ("row", "pads", "padded", "added"))
        weights.append(weight(row, table[:, n : n + 1] - np.float32(fill)))
        around = np.array([0, n, 0, 0, table.shape[1] - n - 1, 0], np.int64)
        weights.append(numpy_helper.from_array(around, pads))
        nodes.append(helper.make_node("Pad", [row, pads], [padded], mode="constant"))
        nodes.append(helper.make_node("Add", [last, padded], [added]))
        last = added
    return nodes, weights, last


def constant(tables, fed=("input", F32, (1, 3, HEIGHT, WIDTH)), fills=None):
    """A model that is fed `fed` and gives `tables`, name by name. Nothing of what it is fed shows."""
    name, kind, shape = fed
    as_f32 = helper.make_node("Cast", [name], ["fed"], to=F32)
    mean = helper.make_node("ReduceMean", ["fed"], ["mean"], axes=list(range(len(shape))), keepdims=0)
    zero = helper.make_node("Mul", ["mean", "nought"], ["zero"])
    nodes, weights, outputs = [as_f32, mean, zero], [weight("nought", 0.0)], []
    for output, table in tables.items():
        source = f"{output}_table"
        if fills:
            more, rows, source = sparse_rows(output, table, fills[output])
            nodes += more
            weights += rows
        else:
            weights.append(weight(source, table))
        nodes.append(helper.make_node("Add", [source, "zero"], [output]))
        outputs.append(info(output, F32, table.shape))
    return model(nodes, [info(name, kind, shape)], outputs, weights)


HEAD = [[2, -2], [0, 1], [0.5, 0], [-1, 1]], [0.25, -0.25]


def head():
    """Two logits from four numbers."""
    weights = [weight("w", HEAD[0]), weight("b", HEAD[1])]
    node = helper.make_node("Gemm", ["embedding", "w", "b"], ["logits"])
    return model([node], [info("embedding", F32, ["N", 4])], [info("logits", F32, ["N", 2])], weights)


def external(tensor):
    """Says of `tensor` that its numbers are in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def sound():
    """What the broken ones are made of."""
    return constant({"output": yolox()})


def with_branch(branch_tensor=None, depth=1):
    """A model with graphs within graphs, `depth` deep; the innermost one holds `branch_tensor`."""
    tensor = branch_tensor if branch_tensor is not None else weight("inner", [1.0])
    tensor.name = "inner"
    graph = helper.make_graph(
        [helper.make_node("Identity", ["inner"], ["out0"])], "g0", [], [info("out0", F32, [1])], [tensor]
    )
    for n in range(1, depth):
        yes = helper.make_node("If", ["always"], [f"out{n}"], then_branch=graph, else_branch=graph)
        if n > 1:
            yes = helper.make_node("If", ["always"], [f"out{n}"], then_branch=graph)
        graph = helper.make_graph([yes], f"g{n}", [], [info(f"out{n}", F32, [1])])
    made = sound()
    made.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    made.graph.node.append(helper.make_node("If", ["always"], ["unused"], then_branch=graph, else_branch=graph))
    return made


def with_constant(tensor):
    made = sound()
    made.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))
    return made


def with_changed_output(change):
    made = sound()
    change(made.graph.output[0])
    return made


def inflated():
    made = sound()
    tensor = TensorProto(name="huge", data_type=F32, dims=[1 << 31, 1 << 31])
    made.graph.initializer.append(tensor)
    return made


def two_inputs():
    made = sound()
    made.graph.input.append(info("more", F32, [1]))
    return made


def old_weights():
    """As files before IR version 4 were: every weight is listed as an input too."""
    made = sound()
    made.graph.input.extend(info(w.name, F32, list(w.dims)) for w in made.graph.initializer)
    return made


def free_shape():
    """Leaves free what it gives, and gives too little."""
    made = constant({"output": yolox()[..., :-4]})
    made.graph.output[0].CopyFrom(info("output", F32, ["N", "A", "C"]))
    return made


def nan_scores():
    table = yolox()
    table[0, 5, :] = np.nan
    return constant({"output": table})


def bytes_of(made):
    return made if isinstance(made, bytes) else made.SerializeToString(deterministic=True)


def graphs():
    small = {"fed": ("input", TensorProto.UINT8, (1, 32, 32, 3))}
    square = {"fed": ("input", F32, (1, 128, 128, 3))}
    pose = {"fed": ("input", TensorProto.INT32, (1, 192, 192, 3))}
    return {
        "nanodet": constant({"output": nanodet()}),
        "yolov5": constant({"output": yolov5()}),
        "yolov8": constant({"output": yolov8()}),
        "yolox": constant({"output": yolox()}),
        "detr": constant(dict(zip(("logits", "boxes"), detr()))),
        "ssd": constant(dict(zip(("boxes", "classes", "scores"), ssd()))),
        "classifier": constant({"logits": np.array([[0.0, log(7.0), log(2.0)]], np.float32)}, **small),
        "embedding": constant({"embedding": np.array([[0.5, -1.0, 2.0, 0.0]], np.float32)}, **small),
        "head": head(),
        "blazeface": constant(
            dict(zip(("regressors", "classificators"), blazeface())),
            fills={"regressors": 0.0, "classificators": -20.0},
            **square,
        ),
        "movenet": constant({"joints": movenet()}, **pose),
    }


def broken():
    whole = bytes_of(sound())
    no_graph = onnx.ModelProto(ir_version=8)
    no_graph.opset_import.append(helper.make_opsetid("", 13))
    outside = sound()
    external(outside.graph.initializer[-1])
    no_opset = sound()
    del no_opset.opset_import[:]
    return {
        "external_weight": outside,
        "external_constant": with_constant(external(weight("far", [1.0]))),
        "external_in_branch": with_branch(external(weight("far", [1.0]))),
        "nested_too_deep": with_branch(depth=10),
        "nested": with_branch(depth=2),
        "inflated": inflated(),
        "wrong_labels": constant({"output": np.concatenate([yolox(), yolox()[..., :1]], axis=2)}),
        "wrong_cells": constant({"output": yolox()[:, :-1]}),
        "wrong_size": constant({"output": yolox()}, fed=("input", F32, (1, 3, WIDTH, HEIGHT))),
        "wrong_batch": constant({"output": yolox()}, fed=("input", F32, (4, 3, HEIGHT, WIDTH))),
        "wrong_input_type": constant({"output": yolox()}, fed=("input", TensorProto.UINT8, (1, 3, HEIGHT, WIDTH))),
        "wrong_input_name": constant({"output": yolox()}, fed=("picture", F32, (1, 3, HEIGHT, WIDTH))),
        "wrong_output_type": with_changed_output(lambda o: setattr(o.type.tensor_type, "elem_type", TensorProto.DOUBLE)),
        "wrong_output_name": with_changed_output(lambda o: setattr(o, "name", "other")),
        "no_tensor": with_changed_output(
            lambda o: o.CopyFrom(helper.make_tensor_sequence_value_info("output", F32, [1]))
        ),
        "two_inputs": two_inputs(),
        "old_weights": old_weights(),
        "no_opset": no_opset,
        "no_graph": no_graph,
        "truncated": whole[: len(whole) * 2 // 3],
        "no_model": b"<!DOCTYPE html><html>404</html>\n" * 40,
        "changed": whole,
        "free_shape": free_shape(),
        "nan_scores": nan_scores(),
    }


def quoted(words):
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


def picture(layout="nchw", kind="f32", width=WIDTH, height=HEIGHT, extra=""):
    return f"""
[model.picture]
name = "input"
layout = "{layout}"
colour = "rgb"
type = "{kind}"
width = {width}
height = {height}
resize = "letterbox"
pad = 114
{extra}"""


def card(name, kind, sha256, body):
    return f"""
[[model]]
name = "{name}"
file = "{name}.onnx"
kind = "{kind}"
sha256 = "{sha256}"
precision = "f32"
licence = "Apache-2.0"
source = "scripts/make-test-models.py"
{body}"""


def detector_body(kind):
    outputs = {"detr": ["logits", "boxes"], "ssd": ["boxes", "classes", "scores"]}.get(kind, ["output"])
    labels = [""] + LABELS if kind == "ssd" else LABELS
    suppresses = "" if kind in ("detr", "ssd") else f"iou = {IOU}\n"
    return f"""role = "person_detector"
outputs = {quoted(outputs)}
labels = {quoted(labels)}
{picture()}
[model.thresholds]
score = {SCORE}
{suppresses}labels = {{ "cell phone" = {PHONE_SCORE} }}

[model.findings]
cat = "animal_in_kitchen"
"""


BODIES = {
    "classifier": f"""role = "extra"
outputs = ["logits"]
labels = ["lid_on", "lid_off", "no_bin"]
scores = "logits"
{picture("nhwc", "u8", 32, 32)}
[model.thresholds]
score = 0.5

[model.findings]
lid_off = "bin_open"
""",
    "embedding": f"""role = "embedder"
outputs = ["embedding"]
embedding_length = 4
{picture("nhwc", "u8", 32, 32)}""",
    "head": """role = "mask_head"
outputs = ["logits"]
labels = ["mask", "no_mask"]
scores = "logits"
min_side_px = 40

[model.vector]
name = "embedding"
length = 4

[model.thresholds]
score = 0.8
labels = { mask = 0.2 }
""",
    "blazeface": f"""role = "face_detector"
outputs = ["regressors", "classificators"]
labels = ["face"]
{picture("nhwc", "f32", 128, 128, "mean = [127.5, 127.5, 127.5]" + chr(10) + "std = [127.5, 127.5, 127.5]" + chr(10))}
[model.thresholds]
score = 0.5
iou = 0.3
""",
    "movenet": f"""role = "pose"
outputs = ["joints"]
labels = {quoted(JOINTS)}
{picture("nhwc", "i32", 192, 192)}
[model.thresholds]
score = 0.3
""",
}


def expected_box(kind, label, score, box):
    left, top, right, bottom = box
    return f"""
[[{kind}]]
label = "{label}"
score = {score}
left = {left}
top = {top}
right = {right}
bottom = {bottom}
"""


def expected():
    text = f"""# Written by scripts/make-test-models.py.
#
# What must come out of each model of this folder, surest first. Edges are pixels of the input, which is {WIDTH} wide and
# {HEIGHT} high ({128} square for blazeface). detr and ssd find one thing twice: nothing suppresses it there. Scores are right to
# 0.001, edges to 0.01.
"""
    for kind in ("nanodet", "yolov5", "yolov8", "yolox", "detr", "ssd"):
        boxes = FOUND + SUPPRESSED if kind in ("detr", "ssd") else FOUND
        for label, score, *box, _ in sorted(boxes, key=lambda box: -box[1]):
            text += expected_box(kind, LABELS[label], score, box)
    for face in FACES[:2]:
        text += expected_box("blazeface", "face", face["score"], face["box"])
    text += """
# Probabilities, label by label.
[classifier]
probabilities = [0.1, 0.7, 0.2]

[embedding]
values = [0.5, -1.0, 2.0, 0.0]

"""
    for embedding in ([0.0, 0.0, 0.0, 0.0], [1.0, 2.0, -1.0, 0.5]):
        mask, no_mask = np.array(embedding) @ np.array(HEAD[0]) + np.array(HEAD[1])
        masked = round(1 / (1 + math.exp(no_mask - mask)), 6)
        text += f"[[head]]\nembedding = {embedding}\nprobabilities = [{masked}, {1 - masked:.6f}]\n\n"
    text += """# y and x as shares of the input, and the score.
[movenet]
joints = [
"""
    for y, x, score in movenet()[0, 0].astype(float):
        text += f"    [{y:.2f}, {x:.2f}, {score:.1f}],\n"
    return text + "]\n"


def write(folder, models, body_of):
    folder.mkdir(parents=True, exist_ok=True)
    manifest = "# Written by scripts/make-test-models.py.\n"
    for name, made in models.items():
        data = bytes_of(made)
        (folder / f"{name}.onnx").write_bytes(data)
        kind, body = body_of(name)
        sha256 = hashlib.sha256(data if name != "changed" else data + b"\n").hexdigest()
        manifest += card(name, kind, sha256, body)
    (folder / "manifest.toml").write_text(manifest)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "models" / "tests"
    write(folder / "graphs", graphs(), lambda kind: (kind, BODIES.get(kind) or detector_body(kind)))
    write(folder / "broken", broken(), lambda _: ("yolox", detector_body("yolox")))
    (folder / "graphs" / "expected.toml").write_text(expected())


if __name__ == "__main__":
    main()
