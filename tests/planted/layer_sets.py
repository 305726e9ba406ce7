"""Small layers on which mistakes show, three of each kind."""

from __future__ import annotations

from typing import Any

Layer = dict[str, Any]  # keywords of make_spec


def layer(
    channels: tuple[int, int],
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: int | tuple[int, ...] = 1,
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    batch: int = 2,
    transposed: bool = False,
) -> Layer:
    sizes = {"in_channels": channels[0], "out_channels": channels[1], "input_size": size, "kernel_size": kernel}
    sizes |= {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return {**sizes, "bias": True, "batch_size": batch, **({"transposed": True} if transposed else {})}


PLAIN = (
    layer((2, 3), (5, 6), (3, 2)),
    layer((3, 4), (6, 5), (2, 3), 1, 1),
    layer((4, 6), (6, 7), (3, 3), 2, 1, 1, 2),
)
STRIDED = (
    layer((2, 3), (7, 6), (3, 2), 2, (1, 0)),
    layer((3, 2), (8, 7), (3, 3), (2, 3), 1, 1, 1, 3),
    layer((4, 4), (6, 7), (2, 3), (3, 2), 1, 1, 2, 1),
)
DILATED = (
    layer((2, 3), (7, 6), (3, 2), 1, 1, 2),
    layer((3, 2), (8, 7), (2, 3), (1, 2), (0, 1), (3, 2)),
    layer((4, 2), (7, 8), (3, 3), 1, 2, (2, 1), 2, 1),
)
BOTH = (
    layer((2, 3), (8, 7), (3, 2), 2, 1, (1, 3)),
    layer((3, 2), (8, 7), (2, 3), (1, 3), 1, (2, 1)),
    layer((4, 2), (7, 6), (3, 2), 2, 1, 1, 2, 3),
)
PADDED = (
    layer((2, 3), (5, 6), (3, 3), 1, 1),
    layer((3, 2), (7, 5), (3, 4), 2, (1, 2)),
    layer((2, 4), (6, 5), (3, 3), 1, (2, 1), 1, 2, 3),
)
PADDED_AND_DILATED = (
    layer((2, 3), (8, 7), (3, 2), 1, 1, 2),
    layer((3, 2), (8, 9), (2, 3), 2, (1, 2), 2),
    layer((4, 2), (9, 8), (3, 3), 1, (2, 1), (3, 2), 2),
)
PADDED_AND_STRIDED = (
    layer((2, 3), (7, 6), (3, 2), 2, 1),
    layer((3, 2), (8, 7), (3, 4), (3, 2), (1, 2), 1, 1, 3),
    layer((4, 4), (6, 7), (2, 3), (2, 3), 1, 1, 2, 1),
)
NOT_HALF = (  # padding that is not half the kernel
    layer((2, 3), (6, 5), (3, 2)),
    layer((3, 2), (8, 7), (2, 3), 2),
    layer((4, 2), (7, 8), (3, 3), 1, 2, 1, 2, 3),
)
SHIFTED = (  # padding that differs between the axes, first the larger one
    layer((2, 3), (6, 5), (3, 2), 1, (2, 1)),
    layer((3, 2), (7, 8), (4, 3), 2, (2, 1)),
    layer((4, 2), (5, 6), (3, 3), 1, (2, 1), 1, 2, 3),
)
UNPADDED_AXIS = (
    layer((2, 3), (5, 6), (3, 2), 1, (1, 0)),
    layer((3, 2), (7, 5), (3, 3), 2, (0, 1)),
    layer((2, 4), (6, 4), (3, 3), 1, 0, 1, 2, 3),
)
REMAINDER = (
    layer((2, 3), (8, 7), (3, 2), 3, 1),
    layer((3, 2), (7, 8), (2, 3), (4, 3), 1),
    layer((4, 2), (8, 6), (3, 3), (2, 3), (0, 1), 1, 2),
)
AXES = (  # strides that differ
    layer((2, 3), (8, 6), (3, 2), (3, 2), 1),
    layer((3, 2), (7, 8), (2, 3), (1, 2), (0, 1)),
    layer((4, 2), (8, 7), (3, 3), (2, 1), 1, (1, 2), 2, 1),
)
GROUPED = (
    layer((4, 6), (5, 6), (3, 2), 1, 1, 1, 2),
    layer((6, 3), (7, 6), (2, 3), 2, (0, 1), 1, 3, 1),
    layer((4, 8), (6, 5), (3, 3), 2, 1, 1, 4, 3),
)
INTERLEAVED = (  # more than one channel in a group on both sides
    layer((4, 6), (5, 6), (3, 2), 1, 1, 1, 2),
    layer((6, 6), (7, 6), (2, 3), 2, (0, 1), 1, 3, 1),
    layer((4, 8), (6, 5), (3, 3), 2, 1, 1, 2, 3),
)
SQUARE_OUTPUT = (
    layer((2, 3), (6, 5), (3, 2), 1, 0),
    layer((3, 2), (7, 6), (3, 2), 2, (1, 1)),
    layer((2, 4), (6, 5), (4, 3), 1, 1, 1, 2),
)
SAME_CHANNELS = (
    layer((3, 3), (5, 6), (3, 2), 1, 1),
    layer((4, 4), (7, 6), (2, 3), 2, (0, 1), 1, 2),
    layer((2, 2), (6, 7), (3, 3), 1, 1, (2, 1), 1, 1),
)
BATCH_OF_CHANNELS = (
    layer((2, 3), (5, 6), (3, 2), 1, 1, 1, 1, 3),
    layer((3, 2), (7, 6), (2, 3), 2, (0, 1)),
    layer((4, 4), (5, 4), (3, 3), 1, 1, 1, 2),
)
WIDTH_OF_CHANNELS = (
    layer((2, 4), (6, 5), (3, 2), 1, 0),
    layer((3, 3), (7, 6), (2, 3), 2, (0, 1)),
    layer((4, 6), (5, 4), (3, 4), 1, 1, 1, 2),
)
LARGE_SUMS = (
    layer((2, 3), (8, 7), (3, 2), 1, 1, 1, 1, 3),
    layer((3, 2), (8, 8), (2, 3), 1, (0, 1), 1, 1, 3),
    layer((4, 4), (8, 6), (3, 3), 1, 1, 1, 2, 3),
)
ROWS = (
    layer((2, 3), (10,), (4,), 3, 1),
    layer((3, 2), (10,), (4,), 3, 2, 2, 1, 3),
    layer((4, 2), (10,), (3,), 2, 2, 3, 2),
)
DILATED_ROWS = (*ROWS[1:], layer((2, 3), (9,), (3,), 1, 1, 2))
VOLUMES = (
    layer((2, 3), (5, 4, 6), (3, 2, 3), (2, 1, 2), 1, (1, 2, 1)),
    layer((3, 2), (5, 6, 5), (2, 3, 2), (1, 2, 1), (0, 1, 1), (2, 1, 2)),
    layer((4, 2), (6, 4, 5), (3, 2, 2), (2, 1, 1), (1, 0, 1), (1, 2, 2), 2, 2),
)

OF_REPORTS = {
    "pytorch#25101": layer((1, 1), (32, 32), (5, 5), 3, 1, batch=1),
    "pytorch#63314": layer((2, 3), (4, 5), (1, 1), 2, transposed=True),
    "candle PR 2337": layer((2, 3), (4, 4), (3, 3), 2, 1, transposed=True),
    "pytorch#13008": layer((2, 3), (7, 8), (3, 3), 1, 2, 2),
    "pytorch#68868": layer((12, 6), (5, 4, 6), (3, 3, 3), 2, 1, 1, 3, 1),  # 720 channels in the report
    "pytorch#50042": layer((24, 24), (6, 6), (3, 3), 2, 1, 1, 24, 1),
    "pytorch#68048": layer((1, 3), (40, 40), (1, 1), batch=1),
    "mean for sum": layer((3, 4), (5, 5), (1, 1)),
    "NNlib#538": layer((2, 3), (6, 5), (3, 3), 1, 1, 1, 1, 3),
    "iree-turbine PR 1223": layer((2, 3), (8, 7), (3, 2), 2, 1, 1),
    "mxnet#15464": layer((2, 3), (6, 5), (3, 3), 1, 1),
    "pytorch#64529": layer((2, 3), (6, 5), (3, 3), 1, 1),
    "nntrainer#705": layer((2, 3), (6, 5), (3, 2), 1, 1),
    "pytorch PR 51027": layer((2, 3), (7, 6), (3, 2), (2, 1), (1, 0)),
}
