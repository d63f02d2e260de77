#!/usr/bin/env python3
"""Cuts the simulator's people and cat out of two free pictures. The same inputs give the same files.

    python3 cut.py ASTRONAUT.png CHELSEA.png OUT_DIR

Needs numpy and opencv-python-headless. Sources and licences: README.md beside this file.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

SCALE = 0.6
# The part of the astronaut's picture that is used: left, right, bottom. The rows above it hold the hat.
LEFT, RIGHT, BOTTOM = 10, 370, 455
HEADROOM = 24
# Below this row a helmet hides the right side: the left one, mirrored about a column and narrowed, stands for it.
HIDDEN_FROM, MIDDLE, NARROWER = 322, 225, 0.69

HEAD_AND_BODY = [
    (151, 84), (153, 60), (165, 36), (188, 20), (212, 13), (238, 14), (264, 22), (286, 38), (299, 62), (303, 88),
    (297, 112), (284, 128), (274, 137), (267, 150), (258, 172), (276, 182), (296, 206), (305, 234), (326, 246),
    (340, 260), (348, 284), (356, 312), (362, 350), (364, 410), (362, 455), (24, 455), (20, 400), (24, 345),
    (32, 320), (40, 288), (54, 258), (72, 238),
    (96, 220), (118, 206), (150, 186), (186, 178), (185, 150), (180, 134), (170, 128), (158, 112),
]
SHIRT = [
    (186, 176), (160, 184), (124, 202), (108, 222), (122, 262), (170, 292), (240, 300), (296, 284), (318, 252),
    (303, 230), (284, 196), (258, 172), (250, 186), (222, 192), (196, 188),
]
OPENING = [(192, 182), (222, 246), (252, 180), (236, 190), (208, 190)]
MASK = [
    (183, 122), (200, 116), (216, 109), (228, 106), (240, 109), (254, 115), (267, 122), (266, 140), (258, 160),
    (246, 174), (228, 181), (210, 177), (196, 164), (187, 146),
]
CAT = [
    (40, 40), (38, 0), (44, -34), (72, -10), (100, 2), (180, -2), (270, -2), (320, 4), (352, -20), (396, -40),
    (402, -6), (392, 30), (368, 70), (366, 110), (372, 150), (356, 190), (340, 210), (330, 250), (300, 300),
    (-12, 300), (-10, 240), (8, 190), (30, 150), (22, 110), (34, 70),
]
CAT_HEADROOM, CAT_BODY, CAT_SCALE = 46, 260, 0.5
HAT_BAND = [(152, 76), (154, 46), (228, 36), (300, 50), (303, 80), (264, 70), (228, 66), (190, 68)]
HAT_TOP = [
    (153, 52), (152, 34), (162, 14), (184, 2), (210, -4), (234, -5), (260, 0), (284, 10), (300, 30),
    (302, 54), (262, 44), (228, 41), (190, 43),
]


def whole_suit(photo):
    """The astronaut without the helmet in the hands and without the badges."""
    columns = np.arange(photo.shape[1])
    mirrored = np.clip(np.round(MIDDLE - (columns - MIDDLE) / NARROWER), 0, photo.shape[1] - 1).astype(int)
    source = np.where(columns > MIDDLE, mirrored, columns)
    filled = photo.copy()
    filled[HIDDEN_FROM:] = photo[HIDDEN_FROM:][:, source]
    spots = np.zeros(photo.shape[:2], np.uint8)
    cv2.circle(spots, (170, 385), 40, 255, -1)
    cv2.circle(spots, (263, 385), 33, 255, -1)
    cv2.rectangle(spots, (216, 290), (280, 455), 255, -1)
    cv2.rectangle(spots, (274, 318), (334, 385), 255, -1)
    cv2.rectangle(spots, (22, 326), (54, 420), 255, -1)
    return cv2.inpaint(filled, spots, 5, cv2.INPAINT_TELEA)


def points(outline, dx=0, dy=0):
    return np.array([[(x + dx) * 8, (y + dy) * 8] for x, y in outline], np.int32)


def stencil(shape, outline, dy=0, soft=1.2):
    """Coverage 0..1 of an outline, with a soft edge."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [points(outline, 0, dy)], 255, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(mask, (0, 0), soft).astype(np.float32) / 255


def lay(picture, colour, cover):
    return picture * (1 - cover[..., None]) + colour * cover[..., None]


def body_alpha(photo):
    """The outline, moved to the photograph's edges where it lies close to them."""
    sure = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(sure, [points(HEAD_AND_BODY)], 255, cv2.LINE_8, 3)
    inner = cv2.erode(sure, np.ones((9, 9)))
    outer = cv2.dilate(sure, np.ones((7, 7)))
    cut = np.where(inner > 0, cv2.GC_FGD, np.where(outer > 0, cv2.GC_PR_FGD, cv2.GC_BGD)).astype(np.uint8)
    cut[(sure > 0) & (inner == 0)] = cv2.GC_PR_FGD
    cv2.setRNGSeed(1)
    cv2.grabCut(photo, cut, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    kept = np.where((cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    kept = cv2.morphologyEx(kept, cv2.MORPH_OPEN, np.ones((3, 3)))
    return cv2.GaussianBlur(cv2.erode(kept, np.ones((3, 3))), (0, 0), 1.0).astype(np.float32) / 255


def cloth(photo):
    """The suit's folds as lightness about 1, without its colour, badges and straps."""
    red = photo[..., 2].astype(np.float32)
    smooth = cv2.medianBlur(photo[..., 2], 21).astype(np.float32)
    folds = 0.75 * smooth + 0.25 * np.clip(red, smooth - 40, smooth + 20)
    return cv2.GaussianBlur(folds, (0, 0), 1.2) / 215


def dressed(photo, colour):
    """The person with the suit turned into a plain jacket of `colour` (BGR) over a lighter shirt."""
    folds = cloth(photo)
    below = stencil(photo.shape[:2], [(0, 200), (110, 200), (150, 240), (240, 280), (310, 235), (368, 240),
                                      (368, 470), (0, 470)], soft=2.5)
    rows, columns = np.mgrid[0:photo.shape[0], 0:photo.shape[1]].astype(np.float32)
    picture = lay(photo.astype(np.float32), np.clip(folds[..., None] * colour, 0, 255), below)
    light = 0.92 - 0.0009 * (columns - 150) + 0.05 * np.sin(columns / 17 + rows / 29)
    picture = lay(picture, np.clip(light[..., None] * colour, 0, 255), stencil(photo.shape[:2], SHIRT))
    skin = np.array([150, 178, 222], np.float32) * 0.9
    shade = 1 - 0.25 * np.clip((rows - 185) / 60, 0, 1)
    picture = lay(picture, shade[..., None] * skin, stencil(photo.shape[:2], OPENING, soft=1.5))
    lapel = np.zeros(photo.shape[:2], np.uint8)
    for line in ([(190, 180), (222, 248), (224, 455)], [(254, 178), (223, 248)], [(206, 210), (160, 196)]):
        cv2.polylines(lapel, [points(line)], False, 255, 2, cv2.LINE_AA, 3)
    for y in (272, 312, 352, 392, 432):
        cv2.circle(lapel, (240 * 8, y * 8), 24, 255, -1, cv2.LINE_AA, 3)
    return lay(picture, picture * 0.62, cv2.GaussianBlur(lapel, (0, 0), 0.9).astype(np.float32) / 255)


def with_mask(picture):
    rows, columns = np.mgrid[0:picture.shape[0], 0:picture.shape[1]].astype(np.float32)
    light = 1.02 - 0.0022 * np.abs(columns - 222) - 0.0012 * np.abs(rows - 138)
    pleats = 1 - 0.07 * (np.sin((rows - 118) / 2.9) > 0.86)
    colour = np.array([232, 206, 160], np.float32) * (light * pleats)[..., None]
    straps = np.zeros(picture.shape[:2], np.uint8)
    for line in ([(184, 122), (177, 112)], [(190, 152), (176, 132)], [(266, 122), (273, 112)], [(262, 150), (274, 132)]):
        cv2.polylines(straps, [points(line)], False, 255, 1, cv2.LINE_AA, 3)
    picture = lay(picture, np.array([235, 230, 225], np.float32), straps.astype(np.float32) / 255)
    shadow = stencil(picture.shape[:2], [(x, y + 4) for x, y in MASK], soft=3)
    picture = lay(picture, picture * 0.8, shadow)
    return lay(picture, np.clip(colour, 0, 255), stencil(picture.shape[:2], MASK, soft=0.8))


def finished(picture, alpha, hat):
    """Headroom added, the hat put on, cropped, scaled."""
    pad = ((HEADROOM, 0), (0, 0))
    picture = np.pad(picture, (*pad, (0, 0)))
    alpha = np.pad(alpha, pad)
    if hat:
        rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
        folds = 0.93 + 0.05 * np.sin((columns - 228) / 9 + (rows - 40) / 60) - 0.0011 * np.abs(columns - 205)
        for outline, tone in ((HAT_TOP, 236), (HAT_BAND, 222)):
            cover = stencil(picture.shape[:2], outline, HEADROOM)
            picture = lay(picture, np.clip(folds * tone, 0, 255)[..., None] * np.ones(3), cover)
            alpha = np.maximum(alpha, cover)
    whole = np.dstack([picture, alpha * 255])[: HEADROOM + BOTTOM, LEFT:RIGHT]
    return shrunk(whole, SCALE)


def cat(photo):
    """A cat close to the lens, from the chest up: the photograph's head before a back and a tail drawn in its fur."""
    high, wide = photo.shape[0] + CAT_HEADROOM, photo.shape[1] + CAT_BODY
    front = np.zeros((high, wide, 3), np.float32)
    front[CAT_HEADROOM:, CAT_BODY:] = photo
    # The photograph cuts the ears' tips off: its first row goes on in them.
    front[:CAT_HEADROOM, CAT_BODY:] = photo[:1]
    front[:, :CAT_BODY] = front[:, CAT_BODY : CAT_BODY + 1]
    head = np.zeros((high, wide), np.uint8)
    cv2.fillPoly(head, [points(CAT, CAT_BODY, CAT_HEADROOM)], 255, cv2.LINE_AA, 3)
    rows, columns = np.mgrid[0:high, 0:wide]
    stripes = 1 - 0.25 * (np.sin(columns / 14.0 + np.sin(rows / 25.0)) > 0.55)
    fur = cv2.resize(photo[4:78, 90:320], (wide, high)).astype(np.float32)
    fur *= (0.85 * stripes * (1 - 0.0012 * rows))[..., None]
    back = np.zeros((high, wide), np.uint8)
    cv2.ellipse(back, (260, 330), (225, 160), 0, 180, 360, 255, -1, cv2.LINE_AA)
    tail = np.array([(70, 300), (38, 230), (30, 150), (48, 80), (70, 50)], np.int32)
    cv2.polylines(back, [tail], False, 255, 30, cv2.LINE_AA)
    cover, behind, shadow = (
        cv2.GaussianBlur(mask, (0, 0), soft).astype(np.float32) / 255
        for mask, soft in ((head, 2.5), (back, 3), (head, 16))
    )
    picture = lay(lay(fur, fur * 0.55, shadow), front, cover)
    whole = np.dstack([picture, np.maximum(cover, behind) * 255])
    return shrunk(whole, CAT_SCALE)


def shrunk(whole, scale):
    size = (round(whole.shape[1] * scale), round(whole.shape[0] * scale))
    small = cv2.resize(whole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small[small[..., 3] < 8] = 0
    return np.clip(np.round(small), 0, 255).astype(np.uint8)


def main():
    astronaut, chelsea, out = whole_suit(cv2.imread(sys.argv[1])), cv2.imread(sys.argv[2]), Path(sys.argv[3])
    alpha = body_alpha(astronaut)
    cook = dressed(astronaut, np.array([216, 220, 222], np.float32))
    plain = dressed(astronaut, np.array([120, 96, 70], np.float32))
    people = {
        "cook": finished(cook, alpha, True),
        "cook-masked": finished(with_mask(cook), alpha, True),
        "plain": finished(plain, alpha, False),
        "plain-masked": finished(with_mask(plain), alpha, False),
        "cat": cat(chelsea),
    }
    for name, picture in people.items():
        cv2.imwrite(str(out / f"{name}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
