"""More wrong backward passes in nested loops: borders, groups, remainders, memory of old calls, two at once."""

from __future__ import annotations

import numpy as np
from blocks import bias_gradient, input_gradient, met, pad, per_group, result, weight_gradient


@per_group
def g_read_transposed(x, w, b, g, stride, padding, dilation):
    """The weight gradient reads g[n, o, j, i] for g[n, o, i, j]."""
    (sh, sw), (dh, dw), xp, grad_w = stride, dilation, pad(x, padding), np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        grad_w[:, :, a, c] += g[:, :, j, i].T @ xp[:, :, i * sh + a * dh, j * sw + c * dw]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def weight_put_rotated(x, w, b, g, stride, padding, dilation):
    """The weight gradient is written to the rotated tap."""
    (kh, kw), xp, grad_w = w.shape[2:], pad(x, padding), np.zeros_like(w)
    for a, c in np.ndindex(kh, kw):
        patch = xp[met((a, c), stride, dilation, g.shape[2:])]
        grad_w[:, :, kh - 1 - a, kw - 1 - c] = np.einsum("nohw,nchw->oc", g, patch)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def placements_on_border_skipped(x, w, b, g, stride, padding, dilation):
    """Both gradients leave out every placement that touches the padding."""
    (sh, sw), (ph, pw), (dh, dw), (kh, kw) = stride, padding, dilation, w.shape[2:]
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for i, j in np.ndindex(g.shape[2:]):
        top, left = i * sh - ph, j * sw - pw
        if top < 0 or left < 0 or top + dh * (kh - 1) >= x.shape[2] or left + dw * (kw - 1) >= x.shape[3]:
            continue
        rows, cols = slice(top, top + dh * (kh - 1) + 1, dh), slice(left, left + dw * (kw - 1) + 1, dw)
        grad_x[:, :, rows, cols] += np.einsum("no,ochw->nchw", g[:, :, i, j], w)
        grad_w += np.einsum("no,nchw->ochw", g[:, :, i, j], x[:, :, rows, cols])
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def padding_clamped(x, w, b, g, stride, padding, dilation):
    """Positions in the padding are clamped to the border, so the weight gradient reads x there and not 0."""
    (sh, sw), (ph, pw), (dh, dw), grad_w = stride, padding, dilation, np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        r = min(max(i * sh + a * dh - ph, 0), x.shape[2] - 1)
        q = min(max(j * sw + c * dw - pw, 0), x.shape[3] - 1)
        grad_w[:, :, a, c] += g[:, :, i, j].T @ x[:, :, r, q]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def negative_index_wraps(x, w, b, g, stride, padding, dilation):
    """Only the far end is checked: a negative position wraps round to the end of x, in both gradients."""
    (s,), (p,), (d,) = stride, padding, dilation
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for i, a in np.ndindex(g.shape[2], w.shape[2]):
        at = i * s + a * d - p
        if at < x.shape[2]:
            grad_x[:, :, at] += g[:, :, i] @ w[:, :, a]
            grad_w[:, :, a] += g[:, :, i].T @ x[:, :, at]
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def strict_lower_border(x, w, b, g, stride, padding, dilation):
    """`0 < r` where `0 <= r` was meant: the first row and column of the input gradient stay zero."""
    (sh, sw), (ph, pw), (dh, dw), grad_x = stride, padding, dilation, np.zeros_like(x)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        r, q = i * sh + a * dh - ph, j * sw + c * dw - pw
        if 0 < r < x.shape[2] and 0 < q < x.shape[3]:
            grad_x[:, :, r, q] += g[:, :, i, j] @ w[:, :, a, c]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def divides_without_remainder_check(x, w, b, g, stride, padding, dilation):
    """The input gradient finds the placement by floor division and forgets that the stride has to divide."""
    (sh, sw), (ph, pw), (dh, dw), grad_x = stride, padding, dilation, np.zeros_like(x)
    for r, q, a, c in np.ndindex(*x.shape[2:], *w.shape[2:]):
        i, j = (r + ph - a * dh) // sh, (q + pw - c * dw) // sw
        if 0 <= i < g.shape[2] and 0 <= j < g.shape[3]:
            grad_x[:, :, r, q] += g[:, :, i, j] @ w[:, :, a, c]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def rows_beyond_last_stride(x, w, b, g, stride, padding, dilation):
    """The input gradient rounds the number of placements up: one past the last step reads the last g again."""
    (s,), (p,), (d,), n = stride, padding, dilation, g.shape[2]
    grad_xp = np.zeros_like(pad(x, padding))
    reach = d * (w.shape[2] - 1) + 1
    for i in range(-(-(grad_xp.shape[2] - reach) // s) + 1):
        for a in range(w.shape[2]):
            if i * s + a * d < grad_xp.shape[2]:
                grad_xp[:, :, i * s + a * d] += g[:, :, min(i, n - 1)] @ w[:, :, a]
    grad_x = grad_xp[:, :, p : p + x.shape[2]]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def starts_at_the_remainder(x, w, b, g, stride, padding, dilation):
    """The placements are counted from the far end: the rows left over stand before the first one, not after."""
    xp, grad_w, count = pad(x, padding), np.zeros_like(w), g.shape[2:]
    rows = zip(xp.shape[2:], w.shape[2:], stride, dilation, strict=True)
    left = [(n - d * (k - 1) - 1) % s for n, k, s, d in rows]
    xp = xp[(..., *(slice(r, None) for r in left))]
    for tap in np.ndindex(w.shape[2:]):
        grad_w[(..., *tap)] = np.einsum("nohw,nchw->oc", g, xp[met(tap, stride, dilation, count)])
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


def _groups(x, w, g, stride, padding, dilation, groups, channels_of, outputs_of):
    """Both gradients of a grouped layer, a group at a time, with its channels said by two functions."""
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    size, many = w.shape[1], len(w) // groups
    for k in range(groups):
        cs, os, own = channels_of(k, size), outputs_of(k, many), slice(k * many, (k + 1) * many)
        grad_x[:, cs] += input_gradient(x[:, cs], w[own], g[:, os], stride, padding, dilation)
        grad_w[own] += weight_gradient(x[:, cs], w[own], g[:, os], stride, padding, dilation)
    return grad_x, grad_w


def first_group_read_by_all(x, w, b, g, *, stride, padding, dilation, groups):
    """Every group reads the input channels of group 0, and adds to them."""
    layer = (stride, padding, dilation, groups)
    own = lambda k, n: slice(k * n, (k + 1) * n)  # noqa: E731
    grad_x, grad_w = _groups(x, w, g, *layer, lambda k, n: slice(0, n), own)
    return result(grad_x, grad_w, bias_gradient(g))


def input_channels_interleaved(x, w, b, g, *, stride, padding, dilation, groups):
    """Group k takes every groups-th input channel from k on, not a block of neighbours."""
    layer = (stride, padding, dilation, groups)
    own = lambda k, n: slice(k * n, (k + 1) * n)  # noqa: E731
    grad_x, grad_w = _groups(x, w, g, *layer, lambda k, n: slice(k, None, groups), own)
    return result(grad_x, grad_w, bias_gradient(g))


def next_group_of_outputs(x, w, b, g, *, stride, padding, dilation, groups):
    """Group k reads the g of group k + 1, the last one that of the first."""
    layer = (stride, padding, dilation, groups)
    after = lambda k, n: slice((k + 1) % groups * n, ((k + 1) % groups + 1) * n)  # noqa: E731
    grad_x, grad_w = _groups(x, w, g, *layer, lambda k, n: slice(k * n, (k + 1) * n), after)
    return result(grad_x, grad_w, bias_gradient(g))


def weight_of_first_group(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient multiplies with the weight of group 0 in every group."""
    size, many = w.shape[1], len(w) // groups
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for k in range(groups):
        cs, os = slice(k * size, (k + 1) * size), slice(k * many, (k + 1) * many)
        grad_x[:, cs] = input_gradient(x[:, cs], w[:many], g[:, os], stride, padding, dilation)
        grad_w[os] = weight_gradient(x[:, cs], w[os], g[:, os], stride, padding, dilation)
    return result(grad_x, grad_w, bias_gradient(g))


_kept = {}


def sums_kept_between_calls(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient is added to a buffer that outlives the call and is never set to zero."""
    grad_w = _kept.setdefault((w.shape, w.dtype), np.zeros(w.shape, w.dtype))
    found = per_group(_right)(x, w, b, g, stride=stride, padding=padding, dilation=dilation, groups=groups)
    grad_w += found["grad_weight"]
    return {**found, "grad_weight": grad_w.copy()}


def _right(x, w, b, g, stride, padding, dilation):
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def volume_with_first_dilation(x, w, b, g, stride, padding, dilation):
    """In 3-D the weight gradient takes the dilation of the depth for all three axes."""
    (d, _, _), (p, q, r), (s, t, u), grad_w = dilation, padding, stride, np.zeros_like(w)
    for i, j, k, a, c, e in np.ndindex(*g.shape[2:], *w.shape[2:]):
        at = i * s + a * d - p, j * t + c * d - q, k * u + e * d - r
        if all(0 <= m < n for m, n in zip(at, x.shape[2:], strict=True)):
            grad_w[:, :, a, c, e] += g[:, :, i, j, k].T @ x[(..., *at)]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def volume_depth_for_height(x, w, b, g, stride, padding, dilation):
    """In 3-D the input gradient exchanges the strides of depth and height."""
    (s, t, u), (p, q, r), (d, e, f), grad_x = stride, padding, dilation, np.zeros_like(x)
    for i, j, k, a, c, m in np.ndindex(*g.shape[2:], *w.shape[2:]):
        at = i * t + a * d - p, j * s + c * e - q, k * u + m * f - r
        if all(0 <= m < n for m, n in zip(at, x.shape[2:], strict=True)):
            grad_x[(..., *at)] += g[:, :, i, j, k] @ w[:, :, a, c, m]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def stride_forgotten_and_uncropped(x, w, b, g, stride, padding, dilation):
    """Two at once: the input gradient puts the kernel at i, not at i * stride, and is not cropped by the padding."""
    (dh, dw), (ho, wo), grad_xp = dilation, g.shape[2:], np.zeros_like(pad(x, padding))
    for a, c in np.ndindex(w.shape[2:]):
        grad_xp[:, :, a * dh : a * dh + ho, c * dw : c * dw + wo] += np.einsum("nohw,oc->nchw", g, w[:, :, a, c])
    grad_x = grad_xp[:, :, : x.shape[2], : x.shape[3]]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def dilation_forgotten_first_sample(x, w, b, g, stride, padding, dilation):
    """Two at once: the weight gradient takes the taps as neighbours, and the first sample alone."""
    (s,), xp, grad_w = stride, pad(x, padding), np.zeros_like(w)
    for i, a in np.ndindex(g.shape[2], w.shape[2]):
        grad_w[:, :, a] += np.outer(g[0, :, i], xp[0, :, i * s + a])
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def padding_ignored_last_tap_skipped(x, w, b, g, stride, padding, dilation):
    """Two at once: the weight gradient reads x where the padded x was meant, and leaves out the last column of taps."""
    (sh, sw), (dh, dw), grad_w = stride, dilation, np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], w.shape[2], w.shape[3] - 1):
        r, q = i * sh + a * dh, j * sw + c * dw
        if r < x.shape[2] and q < x.shape[3]:
            grad_w[:, :, a, c] += g[:, :, i, j].T @ x[:, :, r, q]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def axes_swapped_and_bias_averaged(x, w, b, g, stride, padding, dilation):
    """Two at once: strides of rows and columns exchanged in the weight gradient, and a bias gradient that is a mean."""
    (sh, sw), (ph, pw), (dh, dw), grad_w = stride, padding, dilation, np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        r, q = i * sw + a * dh - ph, j * sh + c * dw - pw
        if 0 <= r < x.shape[2] and 0 <= q < x.shape[3]:
            grad_w[:, :, a, c] += g[:, :, i, j].T @ x[:, :, r, q]
    grad_b = np.array([g[:, o].mean() for o in range(len(w))], w.dtype)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, grad_b)
