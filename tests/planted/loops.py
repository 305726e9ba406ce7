"""Wrong backward passes in nested loops over placements and taps, in NumPy."""

from __future__ import annotations

from itertools import product

import numpy as np
from blocks import add_bias, bias_gradient, crop, input_gradient, met, pad, per_group, result, weight_gradient


@per_group
def scatter_forgets_stride(x, w, b, g, stride, padding, dilation):
    """The input gradient puts the kernel at i and not at i * stride."""
    (sh, sw), (dh, dw), (kh, kw) = stride, dilation, w.shape[2:]
    xp = pad(x, padding)
    grad_xp, grad_w = np.zeros_like(xp), np.zeros_like(w)
    for i, j in product(range(g.shape[2]), range(g.shape[3])):
        rows, cols = slice(i * sh, i * sh + dh * (kh - 1) + 1, dh), slice(j * sw, j * sw + dw * (kw - 1) + 1, dw)
        grad_w += np.einsum("no,nchw->ochw", g[:, :, i, j], xp[:, :, rows, cols])
        rows, cols = slice(i, i + dh * (kh - 1) + 1, dh), slice(j, j + dw * (kw - 1) + 1, dw)
        grad_xp[:, :, rows, cols] += np.einsum("no,ochw->nchw", g[:, :, i, j], w)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def gather_forgets_stride(x, w, b, g, stride, padding, dilation):
    """The weight gradient reads the input at i and not at i * stride."""
    (dh, dw), (ho, wo) = dilation, g.shape[2:]
    xp, grad_w = pad(x, padding), np.zeros_like(w)
    for a, c in np.ndindex(w.shape[2:]):
        patch = xp[:, :, a * dh : a * dh + ho, c * dw : c * dw + wo]
        grad_w[:, :, a, c] = np.einsum("nohw,nchw->oc", g, patch)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


def _nested(x, w, g, position):
    """Both gradients, with the input position of a placement and a tap said by `position(i, j, a, b)`."""
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for i, j, a, b in np.ndindex(*g.shape[2:], *w.shape[2:]):
        r, c = position(i, j, a, b)
        if 0 <= r < x.shape[2] and 0 <= c < x.shape[3]:
            grad_x[:, :, r, c] += g[:, :, i, j] @ w[:, :, a, b]
            grad_w[:, :, a, b] += g[:, :, i, j].T @ x[:, :, r, c]
    return grad_x, grad_w


@per_group
def nested_without_dilation(x, w, b, g, stride, padding, dilation):
    """Both gradients take the taps as neighbours: dilation is ignored."""
    (sh, sw), (ph, pw) = stride, padding
    grad_x, grad_w = _nested(x, w, g, lambda i, j, a, b: (i * sh + a - ph, j * sw + b - pw))
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def nested_stride_for_dilation(x, w, b, g, stride, padding, dilation):
    """Both gradients have stride and dilation exchanged."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    grad_x, grad_w = _nested(x, w, g, lambda i, j, a, b: (i * dh + a * sh - ph, j * dw + b * sw - pw))
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def nested_stride_axes_swapped(x, w, b, g, stride, padding, dilation):
    """Both gradients step through rows with the stride of columns, and the other way round."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    grad_x, grad_w = _nested(x, w, g, lambda i, j, a, b: (i * sw + a * dh - ph, j * sh + b * dw - pw))
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def nested_padding_axes_swapped(x, w, b, g, stride, padding, dilation):
    """Both gradients take the padding of columns from rows, and the other way round."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    grad_x, grad_w = _nested(x, w, g, lambda i, j, a, b: (i * sh + a * dh - pw, j * sw + b * dw - ph))
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def nested_padding_one_short(x, w, b, g, stride, padding, dilation):
    """The weight gradient takes the padding one too small."""
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    _, grad_w = _nested(x, w, g, lambda i, j, a, b: (i * sh + a * dh - ph + 1, j * sw + b * dw - pw + 1))
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def nested_first_stride_only(x, w, b, g, stride, padding, dilation):
    """The input gradient takes the stride of the first axis for both axes."""
    s, (ph, pw), (dh, dw) = stride[0], padding, dilation
    grad_x, _ = _nested(x, w, g, lambda i, j, a, b: (i * s + a * dh - ph, j * s + b * dw - pw))
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def last_tap_row_skipped(x, w, b, g, stride, padding, dilation):
    """The loop over the rows of the kernel ends one too early, in the weight gradient."""
    xp, grad_w = pad(x, padding), np.zeros_like(w)
    for a in range(w.shape[2] - 1):
        for c in range(w.shape[3]):
            grad_w[:, :, a, c] = np.einsum("nohw,nchw->oc", g, xp[met((a, c), stride, dilation, g.shape[2:])])
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def first_tap_skipped(x, w, b, g, stride, padding, dilation):
    """The loop over the taps of a 1-D kernel starts at 1, in the input gradient."""
    grad_xp = np.zeros_like(pad(x, padding))
    for a in range(1, w.shape[2]):
        grad_xp[met((a,), stride, dilation, g.shape[2:])] += np.einsum("nol,oc->ncl", g, w[:, :, a])
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def last_channel_skipped(x, w, b, g, stride, padding, dilation):
    """The loop over output channels ends one too early, in the input gradient."""
    grad_xp = np.zeros_like(pad(x, padding))
    for n, o in product(range(x.shape[0]), range(w.shape[0] - 1)):
        for c, *tap in np.ndindex(w.shape[1:]):
            grad_xp[n, c][met(tap, stride, dilation, g.shape[2:])] += w[(o, c, *tap)] * g[n, o]
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def weight_assigned(x, w, b, g, stride, padding, dilation):
    """`=` where `+=` was meant: the weight gradient keeps the last placement alone."""
    (sh, sw), (dh, dw) = stride, dilation
    xp, grad_w = pad(x, padding), np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        grad_w[:, :, a, c] = g[:, :, i, j].T @ xp[:, :, i * sh + a * dh, j * sw + c * dw]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def input_assigned(x, w, b, g, stride, padding, dilation):
    """`=` where `+=` was meant: where placements overlap, the input gradient keeps the last one."""
    (sh, sw), (dh, dw) = stride, dilation
    grad_xp = np.zeros_like(pad(x, padding))
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        grad_xp[:, :, i * sh + a * dh, j * sw + c * dw] = g[:, :, i, j] @ w[:, :, a, c]
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def first_sample_only(x, w, b, g, stride, padding, dilation):
    """The weight gradient and the bias gradient are those of the first sample."""
    xp, grad_w, grad_b = pad(x, padding), np.zeros_like(w), np.zeros(len(w), w.dtype)
    for o in range(len(w)):
        for a, c in np.ndindex(w.shape[2:]):
            patch = xp[met((a, c), stride, dilation, g.shape[2:])]
            grad_w[o, :, a, c] = (patch[0] * g[0, o]).sum((1, 2))
        grad_b[o] = g[0, o].sum()
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, grad_b)


@per_group
def zeroed_for_each_sample(x, w, b, g, stride, padding, dilation):
    """The weight gradient is set to zero inside the loop over the batch: the last sample remains."""
    xp = pad(x, padding)
    for n in range(len(x)):
        grad_w = np.zeros_like(w)
        for a, c in np.ndindex(w.shape[2:]):
            patch = xp[met((a, c), stride, dilation, g.shape[2:])]
            grad_w[:, :, a, c] += np.einsum("ohw,chw->oc", g[n], patch[n])
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def batch_averaged(x, w, b, g, stride, padding, dilation):
    """The weight gradient and the bias gradient are divided by the batch size."""
    grad_x, grad_w, grad_b = np.zeros_like(x), np.zeros_like(w), np.zeros(len(w), w.dtype)
    for n in range(len(x)):
        one = slice(n, n + 1)
        grad_x[one] = input_gradient(x[one], w, g[one], stride, padding, dilation)
        grad_w += weight_gradient(x[one], w, g[one], stride, padding, dilation) / len(x)
        grad_b += g[n].sum((1, 2)) / len(x)
    return result(grad_x, grad_w, grad_b)


@per_group
def padding_left_on(x, w, b, g, stride, padding, dilation):
    """The input gradient is cut to size from the padded one's first row and column: padding is not cropped."""
    grad_xp = np.zeros_like(pad(x, padding))
    for a, c in np.ndindex(w.shape[2:]):
        grad_xp[met((a, c), stride, dilation, g.shape[2:])] += np.einsum("nohw,oc->nchw", g, w[:, :, a, c])
    grad_x = grad_xp[:, :, : x.shape[2], : x.shape[3]]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def cropped_on_swapped_axes(x, w, b, g, stride, padding, dilation):
    """The input gradient loses the padding of columns on rows, and the other way round."""
    (ph, pw), (height, width) = padding, x.shape[2:]
    grad_xp = np.zeros_like(pad(x, padding))
    for a, c in np.ndindex(w.shape[2:]):
        grad_xp[met((a, c), stride, dilation, g.shape[2:])] += np.einsum("nohw,oc->nchw", g, w[:, :, a, c])
    grad_x = grad_xp[:, :, pw : pw + height, ph : ph + width]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def cropped_to_minus_zero(x, w, b, g, stride, padding, dilation):
    """The crop `[p:-p]` is empty where p is 0: the input gradient stays zero."""
    (ph, pw), grad_xp, grad_x = padding, np.zeros_like(pad(x, padding)), np.zeros_like(x)
    for a, c in np.ndindex(w.shape[2:]):
        grad_xp[met((a, c), stride, dilation, g.shape[2:])] += np.einsum("nohw,oc->nchw", g, w[:, :, a, c])
    inside = grad_xp[:, :, ph:-ph, pw:-pw]
    grad_x[:, :, : inside.shape[2], : inside.shape[3]] = inside
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def bias_of_first_position(x, w, b, g, stride, padding, dilation):
    """The bias gradient sums the samples but not the positions: the first one alone."""
    grad_b = np.zeros(len(w), w.dtype)
    for n, o in np.ndindex(g.shape[:2]):
        grad_b[o] += g[n, o, 0, 0]
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, grad_b)


@per_group
def bias_without_last_row(x, w, b, g, stride, padding, dilation):
    """The bias gradient leaves out the last row of g: a slice end off by one."""
    grad_b = np.zeros(len(w), w.dtype)
    for o in range(len(w)):
        grad_b[o] = g[:, o, 0:-1, :].sum()
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, grad_b)


@per_group
def input_for_weight(x, w, b, g, stride, padding, dilation):
    """The input gradient multiplies g with the patch of x in place of w."""
    (sh, sw), (dh, dw), xp = stride, dilation, pad(x, padding)
    grad_xp = np.zeros_like(xp)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        r, q = i * sh + a * dh, j * sw + c * dw
        grad_xp[:, :, r, q] += g[:, :, i, j].sum(1, keepdims=True) * xp[:, :, r, q]
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def outputs_end_early(x, w, b, g, stride, padding, dilation):
    """The loops over the output end one too early on both axes, in the weight gradient."""
    (sh, sw), (dh, dw), xp, grad_w = stride, dilation, pad(x, padding), np.zeros_like(w)
    for i, j in product(range(g.shape[2] - 1), range(g.shape[3] - 1)):
        for a, c in np.ndindex(w.shape[2:]):
            grad_w[:, :, a, c] += g[:, :, i, j].T @ xp[:, :, i * sh + a * dh, j * sw + c * dw]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def flipped_forward_and_backward(x, w, b, g, stride, padding, dilation):
    """A true convolution, kernel rotated, where a correlation is meant: y and both gradients agree with each other."""
    (sh, sw), (ph, pw), (dh, dw), (kh, kw) = stride, padding, dilation, w.shape[2:]
    y, grad_x, grad_w = np.zeros_like(g), np.zeros_like(x), np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], kh, kw):
        r, q = i * sh + a * dh - ph, j * sw + c * dw - pw
        if 0 <= r < x.shape[2] and 0 <= q < x.shape[3]:
            kernel = w[:, :, kh - 1 - a, kw - 1 - c]
            y[:, :, i, j] += x[:, :, r, q] @ kernel.T
            grad_x[:, :, r, q] += g[:, :, i, j] @ kernel
            grad_w[:, :, kh - 1 - a, kw - 1 - c] += g[:, :, i, j].T @ x[:, :, r, q]
    return result(grad_x, grad_w, bias_gradient(g), add_bias(y, b))
