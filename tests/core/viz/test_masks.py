import numpy as np

from sartm_core.classes import MFNET
from sartm_core.viz import colorize, overlay, thermal_to_rgb


def test_colorize_uses_the_table() -> None:
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    assert colorize(mask, MFNET).tolist() == [
        [[0, 0, 0], [64, 0, 128]],
        [[64, 64, 0], [127, 127, 127]],
    ]


def test_overlay_leaves_background_and_unlabelled_clear() -> None:
    rgb = np.full((120, 160, 3), 80, np.uint8)
    mask = np.zeros((120, 160), np.uint8)
    mask[40:80, 40:80] = 2
    mask[:, 120:] = 255
    before = rgb.copy()
    plain = overlay(rgb, mask, MFNET, legend=False)
    assert np.array_equal(rgb, before)
    assert (plain[50:70, 50:70] != 80).any(axis=2).all()
    outside = np.ones_like(mask, bool)
    outside[38:82, 38:82] = False
    assert (plain[outside] == 80).all()


def test_classes_are_told_apart_and_the_legend_names_those_seen() -> None:
    rgb = np.full((240, 320, 3), 80, np.uint8)
    mask = np.zeros((240, 320), np.uint8)
    for class_id in range(1, 9):
        mask[10:40, 30 * class_id : 30 * class_id + 20] = class_id
    plain = overlay(rgb, mask, MFNET, legend=False)
    colors = {tuple(plain[25, 30 * class_id + 10]) for class_id in range(1, 9)}
    assert len(colors) == 8
    assert (overlay(rgb, mask, MFNET) != plain).any()
    empty = np.zeros_like(mask)
    assert np.array_equal(overlay(rgb, empty, MFNET), rgb)


def test_thermal_colours_brighten_with_heat() -> None:
    shades = thermal_to_rgb(np.array([[0, 128, 255]], np.uint8)).astype(int).sum(axis=2)[0]
    assert shades[0] < shades[1] < shades[2]
