"""Every planted implementation with what is wrong about it, the right ones, and the faults of reports.

A function's first line says its mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import getdoc
from types import ModuleType
from typing import Any

import correct
import correct_torch
import im2col
import im2col_more
import layer_sets as on
import loops
import loops_more
import paddings
import reports
import strided
import torch_more
import torch_style

Layers = tuple[on.Layer, ...]
Function = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True)
class Correct:
    """A right implementation. `exact` says that integers come out as integers: not by FFT."""

    name: str
    function: Function
    framework: str
    style: str
    layers: Layers
    exact: bool = True


@dataclass(frozen=True)
class Planted:
    """A wrong implementation: on each of its layers the tensors in `wrong` differ, and no others.

    `shows` says when: "always"; "second call": only after a call with other numbers; "weight alone": only where no
    other gradient is asked for; else the layout of g in memory that it needs.
    """

    name: str
    function: Function
    framework: str
    style: str
    classes: tuple[str, ...]
    wrong: tuple[str, ...]
    mistake: str
    layers: Layers
    shows: str = "always"


@dataclass(frozen=True)
class Report(Planted):
    """A wrong implementation that does what a report of a framework shows."""

    report: str = ""


Row = tuple[str, str, str, Layers] | tuple[str, str, str, Layers, str]


def _planted(module: ModuleType, framework: str, style: str, rows: tuple[Row, ...]) -> tuple[Planted, ...]:
    """Each row: the function's name, its classes ("F0": the list of hand-written mistakes), what is wrong, layers."""
    found = []
    for name, classes, wrong, layers, *shows in rows:
        function = getattr(module, name)
        mistake = (getdoc(function) or "").splitlines()[0]
        words = tuple(classes.split()), tuple(wrong.split())
        found.append(Planted(name, function, framework, style, *words, mistake, layers, *shows))
    return tuple(found)


PLANTED = (
    *_planted(
        loops,
        "numpy",
        "loops",
        (
            ("scatter_forgets_stride", "F2", "input", on.STRIDED),
            ("gather_forgets_stride", "F2", "weight", on.STRIDED),
            ("nested_without_dilation", "F4", "input weight", on.DILATED),
            ("nested_stride_for_dilation", "F3", "input weight", on.BOTH),
            ("nested_stride_axes_swapped", "F7", "input weight", on.AXES),
            ("nested_padding_axes_swapped", "F7", "input weight", on.SHIFTED),
            ("nested_padding_one_short", "F6", "weight", on.PADDED),
            ("nested_first_stride_only", "F7", "input", on.AXES),
            ("last_tap_row_skipped", "F0", "weight", on.PLAIN),
            ("first_tap_skipped", "F0", "input", on.ROWS),
            ("last_channel_skipped", "F0", "input", on.STRIDED),
            ("weight_assigned", "F0", "weight", on.PLAIN),
            ("input_assigned", "F10", "input", on.PLAIN),
            ("first_sample_only", "F0", "weight bias", on.PLAIN),
            ("zeroed_for_each_sample", "F0", "weight", on.PLAIN),
            ("batch_averaged", "F9", "weight bias", on.PADDED),
            ("padding_left_on", "F0", "input", on.PADDED),
            ("cropped_on_swapped_axes", "F7", "input", on.SHIFTED),
            ("cropped_to_minus_zero", "F0", "input", on.UNPADDED_AXIS),
            ("bias_of_first_position", "F0", "bias", on.PLAIN),
            ("bias_without_last_row", "F0", "bias", on.STRIDED),
            ("input_for_weight", "F0", "input", on.PLAIN),
            ("outputs_end_early", "F0", "weight", on.STRIDED),
            ("flipped_forward_and_backward", "F8", "output input weight", on.PLAIN),
        ),
    ),
    *_planted(
        loops_more,
        "numpy",
        "loops",
        (
            ("g_read_transposed", "F7", "weight", on.SQUARE_OUTPUT),
            ("weight_put_rotated", "F8", "weight", on.DILATED),
            ("placements_on_border_skipped", "F6", "input weight", on.PADDED),
            ("padding_clamped", "F6", "weight", on.PADDED),
            ("negative_index_wraps", "F6", "input weight", on.ROWS),
            ("strict_lower_border", "F6", "input", on.PADDED),
            ("divides_without_remainder_check", "F2", "input", on.STRIDED),
            ("rows_beyond_last_stride", "F1", "input", on.ROWS),
            ("starts_at_the_remainder", "F1", "weight", on.REMAINDER),
            ("first_group_read_by_all", "F5", "input weight", on.GROUPED),
            ("input_channels_interleaved", "F5", "input weight", on.INTERLEAVED),
            ("next_group_of_outputs", "F5", "input weight", on.GROUPED),
            ("weight_of_first_group", "F5", "input", on.GROUPED),
            ("sums_kept_between_calls", "F10", "weight", on.PLAIN, "second call"),
            ("volume_with_first_dilation", "F7", "weight", on.VOLUMES),
            ("volume_depth_for_height", "F7", "input", on.VOLUMES),
            ("stride_forgotten_and_uncropped", "F2 F0", "input", on.STRIDED),
            ("dilation_forgotten_first_sample", "F4 F0", "weight", on.DILATED_ROWS),
            ("padding_ignored_last_tap_skipped", "F6 F0", "weight", on.PADDED),
            ("axes_swapped_and_bias_averaged", "F7 F9", "weight bias", on.AXES),
        ),
    ),
    *_planted(
        paddings,
        "numpy",
        "loops",
        (
            ("always_half_the_kernel", "F6", "input weight", on.NOT_HALF),
            ("times_the_dilation", "F6", "input weight", on.PADDED_AND_DILATED),
            ("times_the_stride", "F6", "input", on.PADDED_AND_STRIDED),
            ("relu_before", "F0", "weight", on.PLAIN),
        ),
    ),
    *_planted(
        im2col,
        "numpy",
        "im2col",
        (
            ("g_reshaped_not_transposed", "F8", "input weight bias", on.PLAIN),
            ("weight_reshaped_not_transposed", "F8", "input", on.PLAIN),
            ("result_reshaped_not_transposed", "F8", "weight", on.STRIDED),
            ("columns_with_channel_last", "F8", "input weight", on.PLAIN),
            ("kernel_axes_exchanged", "F7", "weight", on.DILATED),
            ("placements_column_by_column", "F7", "weight", on.STRIDED),
            ("col2im_overwrites", "F10", "input", on.DILATED),
            ("fancy_index_loses_doubles", "F10", "input", on.ROWS),
            ("im2col_forgets_padding", "F6", "weight", on.PADDED),
            ("crop_off_by_one", "F6", "input", on.PADDED),
            ("col2im_forgets_stride", "F2", "input", on.REMAINDER),
            ("im2col_forgets_dilation", "F4", "weight", on.DILATED),
            ("im2col_with_first_padding", "F7", "weight", on.SHIFTED),
            ("g_taken_as_ones", "F0", "input weight", on.STRIDED),
            ("weight_averaged_over_columns", "F9", "weight", on.DILATED),
            ("bias_averaged_over_positions", "F9", "bias", on.PADDED),
            ("output_reshaped_not_transposed", "F8", "output", on.PLAIN),
        ),
    ),
    *_planted(
        im2col_more,
        "numpy",
        "im2col",
        (
            ("groups_split_on_inner_axis", "F5", "input weight", on.INTERLEAVED),
            ("groups_joined_inside_out", "F5", "input", on.INTERLEAVED),
            ("groups_in_reverse", "F5", "input", on.GROUPED),
            ("added_in_every_group", "F9", "input", on.GROUPED),
            ("added_for_every_sample", "F9", "weight bias", on.STRIDED[:2] + on.GROUPED[:1]),
            ("sign_of_the_loss", "F9", "weight bias", on.REMAINDER),
            ("bias_counted_twice", "F9", "bias", on.DILATED),
            ("columns_of_first_call", "F0", "weight", on.STRIDED, "second call"),
            ("row_reads_reversed_taps", "F8", "weight", on.ROWS),
            ("volume_unfolded_width_first", "F7", "weight", on.VOLUMES),
            ("volume_col2im_overwrites_depth", "F10", "input", on.VOLUMES),
            ("reshaped_and_averaged", "F8 F9", "weight", on.PLAIN),
            ("negated_last_sample", "F9 F0", "weight", on.ROWS),
            ("interleaved_with_mean", "F5 F9", "weight", on.INTERLEAVED),
            ("forward_unpadded_shift_and_mean", "F6 F9", "output bias", on.PADDED),
            ("output_without_bias", "F0", "output", on.STRIDED),
        ),
    ),
    *_planted(
        strided,
        "numpy",
        "strided",
        (
            ("kernel_not_rotated", "F8", "input", on.BOTH),
            ("kernel_flipped_on_one_axis", "F8", "input", on.PADDED),
            ("channels_flipped_for_taps", "F8", "input", on.PLAIN),
            ("depth_not_flipped", "F8", "input", on.VOLUMES),
            ("g_not_spread", "F2", "input", on.STRIDED),
            ("remainder_before_g", "F1", "input", on.REMAINDER),
            ("remainder_repeats_g", "F1", "input", on.REMAINDER),
            ("last_rows_of_weight_gradient", "F1", "weight", on.REMAINDER),
            ("byte_strides_swapped", "F7", "weight", on.AXES),
            ("g_ravelled_in_memory_order", "F12", "weight", on.DILATED, "transposed"),
            ("channel_letters_exchanged", "F8", "weight", on.SAME_CHANNELS),
            ("weight_channels_transposed", "F8", "input", on.SAME_CHANNELS),
            ("dilation_on_kernel_as_neighbours", "F4", "input", on.DILATED),
            ("stride_and_dilation_exchanged", "F3", "weight", on.ROWS),
            ("bias_over_batch_channels_height", "F0", "bias", on.WIDTH_OF_CHANNELS),
            ("bias_per_sample", "F0", "bias", on.BATCH_OF_CHANNELS),
            ("convolve_for_correlate", "F8", "input", on.ROWS),
            ("last_sample_left_out", "F0", "weight", on.VOLUMES),
            ("bordering_rows_cleared", "F6", "input", on.PADDED),
            ("not_rotated_not_spread", "F8 F2", "input", on.STRIDED),
            ("not_rotated_and_transposed", "F8 F8", "input", on.SAME_CHANNELS),
            ("flipped_weight_and_mean", "F8 F9", "weight", on.BOTH),
        ),
    ),
    *_planted(
        torch_style,
        "torch",
        "torch",
        (
            ("remainder_padded_in_front", "F1", "input", on.REMAINDER),
            ("remainder_filled_with_zeros", "F1", "input", on.REMAINDER),
            ("remainder_stretched", "F1", "input", on.REMAINDER),
            ("stride_for_dilation", "F3", "input", on.BOTH),
            ("transposed_without_padding", "F6", "input", on.ROWS),
            ("transposed_without_dilation", "F4", "input", on.VOLUMES),
            ("full_correlation_unrotated", "F8", "input", on.VOLUMES),
            ("weight_from_cropped_end", "F1", "weight", on.REMAINDER),
            ("weight_with_dense_g", "F2", "weight", on.STRIDED),
            ("view_for_permute", "F8", "weight", on.PLAIN),
            ("folded_with_weight_viewed", "F8", "input", on.INTERLEAVED),
            ("weight_memory_read_channels_last", "F8", "weight", on.PLAIN),
            ("g_read_in_memory_order", "F12", "weight", on.STRIDED, "transposed"),
            ("mean_of_the_loss", "F9", "input weight bias", on.VOLUMES),
            ("sum_without_g", "F0", "input weight bias", on.ROWS),
            ("backward_called_twice", "F9", "weight", on.DILATED),
            ("gradient_not_zeroed", "F10", "weight", on.STRIDED, "second call"),
            ("sums_in_bfloat16", "F14", "weight", on.LARGE_SUMS),
            ("fold_normalised", "F0", "input", on.PLAIN),
            ("copied_where_added", "F10", "input", on.PLAIN),
            ("pad_in_order_of_axes", "F7", "weight", on.SHIFTED),
            ("asked_mask_shifted", "F16", "weight", on.PLAIN, "weight alone"),
            ("unrotated_and_averaged", "F8 F9", "input", on.ROWS),
            ("first_sample_and_wrong_sign", "F0 F9", "weight", on.VOLUMES),
            ("own_function_forgets_groups", "F5", "input", on.GROUPED),
        ),
    ),
    *_planted(
        torch_more,
        "torch",
        "torch",
        (
            ("negative_numbers_clamped", "F0", "input", on.STRIDED),
            ("size_of_the_weight_gradient", "F0", "weight", on.ROWS),
            ("relu_before_fused", "F0", "input", on.GROUPED),
            ("relu_after_fused", "F0", "input weight bias", on.VOLUMES),
            ("rolled_for_the_border", "F6", "input", on.PADDED),
            ("centre_tap_skipped", "F0", "input", on.DILATED),
            ("averaged_over_the_input", "F9", "weight", on.STRIDED),
        ),
    ),
)

ANY_2D = (on.STRIDED[0], on.DILATED[1], on.GROUPED[2], on.REMAINDER[1], on.PADDED[1])
EVERY = (*ANY_2D, *on.ROWS, *on.VOLUMES)


def _right(module: ModuleType, framework: str, rows: tuple[tuple[str, str, Layers], ...]) -> tuple[Correct, ...]:
    return tuple(
        Correct(name, getattr(module, name), framework, style, layers, exact="fourier" not in name)
        for name, style, layers in rows
    )


CORRECT = (
    *_right(
        correct,
        "numpy",
        (
            ("scatter_from_placements", "loops", ANY_2D),
            ("gather_to_positions", "loops", ANY_2D),
            ("nested_scalars", "loops", ANY_2D),
            ("taps_outermost", "loops", EVERY),
            ("taps_backwards", "loops", ANY_2D),
            ("channels_outermost", "loops", EVERY),
            ("row_by_row", "loops", on.ROWS),
            ("volume_nested", "loops", on.VOLUMES),
            ("groups_by_modulo", "loops", EVERY),
            ("every_sample_alone", "loops", EVERY),
            ("im2col_matrices", "im2col", ANY_2D),
            ("im2col_channel_last", "im2col", ANY_2D),
            ("im2col_of_any_dims", "im2col", EVERY),
            ("im2col_groups_at_once", "im2col", EVERY),
            ("index_and_add_at", "im2col", ANY_2D),
            ("bincount_scatter", "im2col", ANY_2D),
            ("matrix_of_the_layer", "im2col", EVERY),
            ("windows_and_full_correlation", "strided", EVERY),
            ("windows_and_einsum", "strided", ANY_2D),
            ("windows_written_back", "strided", ANY_2D),
            ("g_as_the_kernel", "strided", ANY_2D),
            ("convolve_and_correlate", "strided", on.ROWS),
            ("fourier", "fft", EVERY),
            ("fourier_of_rows", "fft", ANY_2D),
            ("stride_phases", "strided", on.ROWS),
        ),
    ),
    *_right(
        correct_torch,
        "torch",
        (
            ("autograd", "torch", EVERY),
            ("functions_of_torch", "torch", EVERY),
            ("operator_of_torch", "torch", EVERY),
            ("transposed_layer", "torch", EVERY),
            ("g_as_dilated_kernel", "torch", ANY_2D),
            ("unfold_and_fold", "torch", ANY_2D),
            ("autograd_function", "torch", EVERY),
            ("vector_jacobian_product", "torch", EVERY),
            ("windows_of_tensor_unfold", "torch", ANY_2D),
            ("index_add", "torch", on.ROWS),
            ("spread_g_and_rotated_kernel", "torch", EVERY),
            ("taps_with_slices", "torch", EVERY),
        ),
    ),
)


def _reports(framework: str, rows: tuple[tuple[str, ...], ...]) -> tuple[Report, ...]:
    """Each row: the report, the function's name, its classes, what is wrong."""
    found = []
    for report, name, classes, wrong, *shows in rows:
        row = (name, classes, wrong, (on.OF_REPORTS[report],), *shows)
        (planted,) = _planted(reports, framework, "report", (row,))
        found.append(Report(**vars(planted), report=report))
    return tuple(found)


REPORTS = (
    *_reports(
        "numpy",
        (
            ("pytorch#25101", "column_of_missing_placement", "F1", "input"),
            ("pytorch#68868", "volume_groups_out_of_step", "F5", "weight"),
            ("pytorch#50042", "last_row_checked_in_padded_rows", "F6", "weight"),
            ("NNlib#538", "buffer_shared_by_samples", "F10", "input"),
        ),
    ),
    *_reports(
        "torch",
        (
            ("pytorch#63314", "transposed_backward_without_stride", "F2", "input"),
            ("candle PR 2337", "transposed_weight_with_stride_for_dilation", "F3", "weight"),
            ("pytorch#13008", "dilation_left_out_of_backward", "F4", "input weight"),
            ("pytorch#68048", "bias_summed_one_by_one_in_bfloat16", "F14", "bias"),
            ("mean for sum", "mean_for_sum", "F9", "weight bias"),
            ("iree-turbine PR 1223", "swapped_in_the_call", "F3", "input weight"),
            ("mxnet#15464", "request_left_out_of_weight", "F16", "weight", "weight alone"),
            ("pytorch#64529", "storage_taken_for_numbers", "F12", "input weight bias", "expanded"),
            ("nntrainer#705", "weight_not_mirrored", "F8", "input"),
            ("pytorch PR 51027", "height_for_width", "F7", "input"),
        ),
    ),
)
