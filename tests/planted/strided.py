"""Wrong backward passes on sliding windows, in NumPy: correlations of views, without a loop over placements."""

from __future__ import annotations

import numpy as np
from blocks import bias_gradient, input_gradient, pad, per_group, result, weight_gradient
from numpy.lib.stride_tricks import as_strided, sliding_window_view


def windows(xp, kernel, stride, dilation):
    """Right view [N, C, *count, *kernel] of a padded input."""
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = sliding_window_view(xp, reach, tuple(range(2, xp.ndim)))
    return view[(..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))]


def spread(g, stride, size):
    """Right g with stride - 1 zeros between its entries, in zeros of `size`."""
    wide = np.zeros((*g.shape[:2], *size), g.dtype)
    wide[(..., *(slice(0, s * (n - 1) + 1, s) for s, n in zip(stride, g.shape[2:], strict=True)))] = g
    return wide


def placements(x, w, padding, dilation):
    """How many placements there would be on each axis with stride 1."""
    rows = zip(x.shape[2:], w.shape[2:], padding, dilation, strict=True)
    return [n + 2 * p - d * (k - 1) for n, k, p, d in rows]


def full(wide, w, padding, dilation):
    """Right full correlation of a spread g with the kernel, which has to come rotated, cropped by the padding."""
    amounts = [d * (k - 1) - p for k, p, d in zip(w.shape[2:], padding, dilation, strict=True)]
    wide = np.pad(wide, ((0, 0), (0, 0), *((max(a, 0), max(a, 0)) for a in amounts)))
    wide = wide[(..., *(slice(-a, a) if a < 0 else slice(None) for a in amounts))]
    view = windows(wide, w.shape[2:], (1,) * len(dilation), dilation)
    taps = range(view.ndim - len(dilation), view.ndim)
    return np.moveaxis(np.tensordot(view, w, ([1, *taps], [0, *range(2, w.ndim)])), -1, 1)


@per_group
def kernel_not_rotated(x, w, b, g, stride, padding, dilation):
    """The input gradient is the full correlation of g with the kernel as it is: it is not rotated."""
    wide = spread(g, stride, placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w, padding, dilation), grad_w, bias_gradient(g))


@per_group
def kernel_flipped_on_one_axis(x, w, b, g, stride, padding, dilation):
    """The kernel is flipped on its last axis alone: the input gradient is right in columns and not in rows."""
    wide = spread(g, stride, placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[..., ::-1], padding, dilation), grad_w, bias_gradient(g))


@per_group
def channels_flipped_for_taps(x, w, b, g, stride, padding, dilation):
    """`w[:, ::-1, ::-1]`: one axis too far to the left, so input channels and rows are flipped, columns are not."""
    wide = spread(g, stride, placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[:, ::-1, ::-1], padding, dilation), grad_w, bias_gradient(g))


@per_group
def depth_not_flipped(x, w, b, g, stride, padding, dilation):
    """In 3-D the kernel is flipped on height and width, as in 2-D, and not on depth."""
    wide = spread(g, stride, placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[..., ::-1, ::-1], padding, dilation), grad_w, bias_gradient(g))


@per_group
def g_not_spread(x, w, b, g, stride, padding, dilation):
    """The zeros of the stride stand after g and not between its entries: stride ignored in the input gradient."""
    wide = spread(g, (1, 1), placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[..., ::-1, ::-1], padding, dilation), grad_w, bias_gradient(g))


@per_group
def remainder_before_g(x, w, b, g, stride, padding, dilation):
    """The zeros that the floor left over stand before g and not after it."""
    exact = [s * (n - 1) + 1 for s, n in zip(stride, g.shape[2:], strict=True)]
    short = [n - m for n, m in zip(placements(x, w, padding, dilation), exact, strict=True)]
    wide = np.pad(spread(g, stride, exact), ((0, 0), (0, 0), *((n, 0) for n in short)))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[..., ::-1, ::-1], padding, dilation), grad_w, bias_gradient(g))


@per_group
def remainder_repeats_g(x, w, b, g, stride, padding, dilation):
    """What the floor left over is filled with the last row and column of g and not with zeros."""
    exact = [s * (n - 1) + 1 for s, n in zip(stride, g.shape[2:], strict=True)]
    short = [n - m for n, m in zip(placements(x, w, padding, dilation), exact, strict=True)]
    wide = np.pad(spread(g, stride, exact), ((0, 0), (0, 0), *((0, n) for n in short)), mode="edge")
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[..., ::-1, ::-1], padding, dilation), grad_w, bias_gradient(g))


@per_group
def last_rows_of_weight_gradient(x, w, b, g, stride, padding, dilation):
    """Correlating with the spread g leaves rows too many, and the last ones are kept where the first are meant."""
    wide = spread(g, stride, [s * (n - 1) + 1 for s, n in zip(stride, g.shape[2:], strict=True)])
    found = np.tensordot(wide, windows(pad(x, padding), wide.shape[2:], (1, 1), (1, 1)), ([0, 2, 3], [0, 4, 5]))
    (dh, dw), (kh, kw) = dilation, w.shape[2:]
    grad_w = found[:, :, ::-dh, ::-dw][:, :, :kh, :kw][:, :, ::-1, ::-1]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def byte_strides_swapped(x, w, b, g, stride, padding, dilation):
    """as_strided steps to the next placement with the strides of rows and columns exchanged."""
    (sh, sw), (dh, dw), (kh, kw), far = stride, dilation, w.shape[2:], 3 * max(x.shape)
    xp = np.ascontiguousarray(np.pad(pad(x, padding), ((0, 0), (0, 0), (0, far), (0, far))))
    n, c, down, right = xp.strides
    steps = (n, c, sw * down, sh * right, dh * down, dw * right)
    view = as_strided(xp, (*x.shape[:2], *g.shape[2:], kh, kw), steps)
    grad_w = np.einsum("nohw,nchwij->ocij", g, view)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


def g_ravelled_in_memory_order(x, w, b, g, *, stride, padding, dilation, groups):
    """`ravel(order="K")` reads g as it lies in memory: wrong where the axes of g lie in another order."""
    read = g.ravel(order="K").reshape(len(g), groups, -1, *g.shape[2:])
    view = windows(pad(x, padding), w.shape[2:], stride, dilation).reshape(
        len(x), groups, -1, *g.shape[2:], *w.shape[2:]
    )
    grad_w = np.einsum("nkohw,nkchwij->kocij", read, view).reshape(w.shape)
    parts = zip(np.split(x, groups, 1), np.split(w, groups), np.split(g, groups, 1), strict=True)
    grad_x = np.concatenate([input_gradient(*part, stride, padding, dilation) for part in parts], 1)
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def channel_letters_exchanged(x, w, b, g, stride, padding, dilation):
    """einsum writes the weight gradient as [C, O, kh, kw]; with as many input as output channels nothing complains."""
    view = windows(pad(x, padding), w.shape[2:], stride, dilation)
    grad_w = np.einsum("nohw,nchwij->coij", g, view)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def weight_channels_transposed(x, w, b, g, stride, padding, dilation):
    """The input gradient sums over the input channels of w where it should over the output channels."""
    wide = spread(g, stride, placements(x, w, padding, dilation))
    rotated = w.transpose(1, 0, 2, 3)[..., ::-1, ::-1]
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, rotated, padding, dilation), grad_w, bias_gradient(g))


@per_group
def dilation_on_kernel_as_neighbours(x, w, b, g, stride, padding, dilation):
    """The input gradient takes a kernel without holes, on a padding that would fit one with holes."""
    wide, (dh, dw), (kh, kw) = spread(g, stride, placements(x, w, padding, dilation)), dilation, w.shape[2:]
    wide = np.pad(wide, ((0, 0), (0, 0), (0, (dh - 1) * (kh - 1)), (0, (dw - 1) * (kw - 1))))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w[..., ::-1, ::-1], padding, (1, 1)), grad_w, bias_gradient(g))


@per_group
def stride_and_dilation_exchanged(x, w, b, g, stride, padding, dilation):
    """The windows step with the dilation and have holes of the stride, in the weight gradient."""
    far = [s * (k + n) + d * (k + n) for s, d, k, n in zip(stride, dilation, w.shape[2:], g.shape[2:], strict=True)]
    xp = np.pad(pad(x, padding), ((0, 0), (0, 0), *((0, n) for n in far)))
    view = windows(xp, w.shape[2:], dilation, stride)[:, :, : g.shape[2]]
    grad_w = np.einsum("nol,nclk->ock", g, view)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def bias_over_batch_channels_height(x, w, b, g, stride, padding, dilation):
    """The bias gradient sums over (0, 1, 2) and not (0, 2, 3); with as many columns as channels nothing complains."""
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, g.sum((0, 1, 2)))


@per_group
def bias_per_sample(x, w, b, g, stride, padding, dilation):
    """The bias gradient sums over (1, 2, 3): one number for each sample; with as many samples as channels it fits."""
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, g.sum((1, 2, 3)))


@per_group
def convolve_for_correlate(x, w, b, g, stride, padding, dilation):
    """np.correlate where np.convolve was meant: the 1-D kernel is not rotated in the input gradient."""
    (p,), (d,) = padding, dilation
    wide, holes = (
        spread(g, stride, placements(x, w, padding, dilation)),
        spread(w, dilation, [d * (w.shape[2] - 1) + 1]),
    )
    grad_x = np.zeros_like(x)
    for n, o, c in np.ndindex(len(x), *w.shape[:2]):
        grad_x[n, c] += np.correlate(wide[n, o], holes[o, c], "full")[p : p + x.shape[2]]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def last_sample_left_out(x, w, b, g, stride, padding, dilation):
    """`[:-1]` on the batch: the weight gradient lacks the last sample."""
    view = windows(pad(x, padding), w.shape[2:], stride, dilation)
    grad_w = np.einsum("nodhw,ncdhwijk->ocijk", g[:-1], view[:-1])
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def bordering_rows_cleared(x, w, b, g, stride, padding, dilation):
    """The padding is cleared in the gradient of the unpadded input: its outer rows and columns become 0."""
    (ph, pw), (height, width) = padding, x.shape[2:]
    grad_x = input_gradient(x, w, g, stride, padding, dilation)
    inside = np.zeros_like(grad_x)
    inside[:, :, ph : height - ph, pw : width - pw] = grad_x[:, :, ph : height - ph, pw : width - pw]
    return result(inside, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def not_rotated_not_spread(x, w, b, g, stride, padding, dilation):
    """Two at once: the input gradient has the kernel not rotated, and the stride ignored."""
    wide = spread(g, (1, 1), placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w, padding, dilation), grad_w, bias_gradient(g))


@per_group
def not_rotated_and_transposed(x, w, b, g, stride, padding, dilation):
    """Two at once: the input gradient has the kernel not rotated, and its channels transposed."""
    wide = spread(g, stride, placements(x, w, padding, dilation))
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(full(wide, w.transpose(1, 0, 2, 3), padding, dilation), grad_w, bias_gradient(g))


@per_group
def flipped_weight_and_mean(x, w, b, g, stride, padding, dilation):
    """Two at once: the weight gradient comes rotated, and divided by the batch size."""
    view = windows(pad(x, padding), w.shape[2:], stride, dilation)[..., ::-1, ::-1]
    grad_w = np.einsum("nohw,nchwij->ocij", g, view) / len(x)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))
