"""Right backward passes in NumPy, in every form in which people write them."""

from __future__ import annotations

from itertools import product

import numpy as np
from blocks import bias_gradient, crop, input_gradient, met, output, pad, per_group, result, weight_gradient
from im2col import _image, _matrices, col2im, columns
from numpy.lib.stride_tricks import as_strided
from strided import full, placements, spread, windows


@per_group
def scatter_from_placements(x, w, b, g, stride, padding, dilation):
    (sh, sw), (dh, dw), (kh, kw), xp = stride, dilation, w.shape[2:], pad(x, padding)
    grad_xp, grad_w = np.zeros_like(xp), np.zeros_like(w)
    for i, j in np.ndindex(g.shape[2:]):
        rows = slice(i * sh, i * sh + dh * (kh - 1) + 1, dh)
        cols = slice(j * sw, j * sw + dw * (kw - 1) + 1, dw)
        grad_w += np.einsum("no,nchw->ochw", g[:, :, i, j], xp[:, :, rows, cols])
        grad_xp[:, :, rows, cols] += np.einsum("no,ochw->nchw", g[:, :, i, j], w)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def gather_to_positions(x, w, b, g, stride, padding, dilation):
    (sh, sw), (ph, pw), (dh, dw), (ho, wo) = stride, padding, dilation, g.shape[2:]
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for r, q, a, c in np.ndindex(*x.shape[2:], *w.shape[2:]):
        (i, down), (j, right) = divmod(r + ph - a * dh, sh), divmod(q + pw - c * dw, sw)
        if not down and not right and 0 <= i < ho and 0 <= j < wo:
            grad_x[:, :, r, q] += g[:, :, i, j] @ w[:, :, a, c]
            grad_w[:, :, a, c] += g[:, :, i, j].T @ x[:, :, r, q]
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def nested_scalars(x, w, b, g, stride, padding, dilation):
    (sh, sw), (ph, pw), (dh, dw), y = stride, padding, dilation, np.zeros_like(g)
    grad_x, grad_w, grad_b = np.zeros_like(x), np.zeros_like(w), np.zeros(len(w), w.dtype)
    for n, o, i, j in np.ndindex(g.shape):
        grad_b[o] += g[n, o, i, j]
        y[n, o, i, j] = 0 if b is None else b[o]
        for c, a, e in np.ndindex(w.shape[1:]):
            r, q = i * sh + a * dh - ph, j * sw + e * dw - pw
            if 0 <= r < x.shape[2] and 0 <= q < x.shape[3]:
                y[n, o, i, j] += w[o, c, a, e] * x[n, c, r, q]
                grad_x[n, c, r, q] += w[o, c, a, e] * g[n, o, i, j]
                grad_w[o, c, a, e] += x[n, c, r, q] * g[n, o, i, j]
    return result(grad_x, grad_w, grad_b, y)


@per_group
def taps_outermost(x, w, b, g, stride, padding, dilation):
    y = output(x, w, b, g, stride, padding, dilation)
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, bias_gradient(g), y)


@per_group
def taps_backwards(x, w, b, g, stride, padding, dilation):
    xp, grad_w = pad(x, padding), np.zeros_like(w)
    grad_xp = np.zeros_like(xp)
    for tap in reversed(list(np.ndindex(w.shape[2:]))):
        where = met(tap, stride, dilation, g.shape[2:])
        for n in reversed(range(len(x))):
            grad_w[(..., *tap)] += np.einsum("ohw,chw->oc", g[n], xp[n][where])
            grad_xp[n][where] += np.einsum("ohw,oc->chw", g[n], w[(..., *tap)])
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def channels_outermost(x, w, b, g, stride, padding, dilation):
    xp, grad_w = pad(x, padding), np.zeros_like(w)
    grad_xp = np.zeros_like(xp)
    for o, c in np.ndindex(w.shape[:2]):
        for tap in np.ndindex(w.shape[2:]):
            where = met(tap, stride, dilation, g.shape[2:])
            grad_w[(o, c, *tap)] = (g[:, o] * xp[:, c][where]).sum()
            grad_xp[:, c][where] += g[:, o] * w[(o, c, *tap)]
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def row_by_row(x, w, b, g, stride, padding, dilation):
    (s,), (p,), (d,) = stride, padding, dilation
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for i, a in np.ndindex(g.shape[2], w.shape[2]):
        if 0 <= (at := i * s + a * d - p) < x.shape[2]:
            grad_x[:, :, at] += g[:, :, i] @ w[:, :, a]
            grad_w[:, :, a] += g[:, :, i].T @ x[:, :, at]
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def volume_nested(x, w, b, g, stride, padding, dilation):
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w)
    for q, tap in product(np.ndindex(g.shape[2:]), np.ndindex(w.shape[2:])):
        at = [i * s + t * d - p for i, t, s, d, p in zip(q, tap, stride, dilation, padding, strict=True)]
        if all(0 <= i < n for i, n in zip(at, x.shape[2:], strict=True)):
            grad_x[(..., *at)] += g[(..., *q)] @ w[(..., *tap)]
            grad_w[(..., *tap)] += g[(..., *q)].T @ x[(..., *at)]
    return result(grad_x, grad_w, bias_gradient(g))


def groups_by_modulo(x, w, b, g, *, stride, padding, dilation, groups):
    grad_x, grad_w, size = np.zeros_like(x), np.zeros_like(w), w.shape[1]
    for o, c in np.ndindex(w.shape[:2]):
        at = (slice(None), slice(o * groups // len(w) * size + c, o * groups // len(w) * size + c + 1))
        up, kernel = g[:, o : o + 1], w[o : o + 1, c : c + 1]
        grad_x[at] += input_gradient(x[at], kernel, up, stride, padding, dilation)
        grad_w[o, c] = weight_gradient(x[at], kernel, up, stride, padding, dilation)[0, 0]
    return result(grad_x, grad_w, bias_gradient(g))


def every_sample_alone(x, w, b, g, *, stride, padding, dilation, groups):
    layer = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    parts = [taps_outermost(x[n : n + 1], w, b, g[n : n + 1], **layer) for n in range(len(x))]
    grad_w, grad_b = (sum(part[name] for part in parts) for name in ("grad_weight", "grad_bias"))
    return result(np.concatenate([part["grad_input"] for part in parts]), grad_w, grad_b)


@per_group
def im2col_matrices(x, w, b, g, stride, padding, dilation):
    cols, w_flat, g_flat = _matrices(x, w, g, stride, padding, dilation)
    grad_x = _image(w_flat.T @ g_flat, x, w, g, stride, padding, dilation)
    return result(grad_x, (g_flat @ cols.T).reshape(w.shape), g_flat.sum(1))


@per_group
def im2col_channel_last(x, w, b, g, stride, padding, dilation):
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(0, 4, 5, 2, 3, 1).reshape(-1, w[0].size)
    kernel, up = w.transpose(2, 3, 1, 0).reshape(-1, len(w)), g.transpose(0, 2, 3, 1).reshape(-1, len(w))
    back = (up @ kernel.T).reshape(len(x), *g.shape[2:], *w.shape[2:], w.shape[1]).transpose(0, 5, 3, 4, 1, 2)
    grad_w = (cols.T @ up).reshape(*w.shape[2:], w.shape[1], len(w)).transpose(3, 2, 0, 1)
    return result(col2im(back, x, w.shape[2:], stride, padding, dilation), grad_w, up.sum(0))


@per_group
def im2col_of_any_dims(x, w, b, g, stride, padding, dilation):
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation).reshape(len(x), w[0].size, -1)
    up = g.reshape(*g.shape[:2], -1)
    grad_w = (up @ cols.transpose(0, 2, 1)).sum(0).reshape(w.shape)
    back = (w.reshape(len(w), -1).T @ up).reshape(len(x), *w.shape[1:], *g.shape[2:])
    y = (w.reshape(len(w), -1) @ cols + (0 if b is None else b[:, None])).reshape(g.shape)
    return result(col2im(back, x, w.shape[2:], stride, padding, dilation), grad_w, up.sum((0, 2)), y)


def im2col_groups_at_once(x, w, b, g, *, stride, padding, dilation, groups):
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation).reshape(len(x), groups, w[0].size, -1)
    up, kernel = g.reshape(len(g), groups, len(w) // groups, -1), w.reshape(groups, -1, w[0].size)
    grad_w = np.einsum("nkop,nkcp->koc", up, cols).reshape(w.shape)
    back = np.einsum("nkop,koc->nkcp", up, kernel).reshape(*x.shape[:2], *w.shape[2:], *g.shape[2:])
    return result(col2im(back, x, w.shape[2:], stride, padding, dilation), grad_w, bias_gradient(g))


def _rows_and_columns(w, g, stride, dilation):
    """The row and the column of the padded input of each tap and placement: [kh, 1, Ho, 1] and [1, kw, 1, Wo]."""
    along = zip(w.shape[2:], dilation, g.shape[2:], stride, strict=True)
    rows, cols = (np.arange(k)[:, None] * d + np.arange(n) * s for k, d, n, s in along)
    return rows[:, None, :, None], cols[None, :, None, :]


@per_group
def index_and_add_at(x, w, b, g, stride, padding, dilation):
    xp, (rows, cols) = pad(x, padding), _rows_and_columns(w, g, stride, dilation)
    grad_xp = np.zeros_like(xp)
    np.add.at(grad_xp, (slice(None), slice(None), rows, cols), np.einsum("nohw,ocij->ncijhw", g, w))
    grad_w = np.einsum("nohw,ncijhw->ocij", g, xp[:, :, rows, cols])
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def bincount_scatter(x, w, b, g, stride, padding, dilation):
    xp, (rows, cols) = pad(x, padding), _rows_and_columns(w, g, stride, dilation)
    places = np.arange(xp.size).reshape(xp.shape)[:, :, rows, cols]
    back = np.einsum("nohw,ocij->ncijhw", g, w)
    grad_xp = np.bincount(places.ravel(), back.ravel(), xp.size).reshape(xp.shape).astype(x.dtype)
    grad_w = np.einsum("nohw,ncijhw->ocij", g, xp.ravel()[places])
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def matrix_of_the_layer(x, w, b, g, stride, padding, dilation):
    """The layer is one matrix for each pair of channels, made of unit inputs."""
    size, count = int(np.prod(x.shape[2:])), int(np.prod(g.shape[2:]))
    units = np.eye(size, dtype=x.dtype).reshape(size, 1, *x.shape[2:])
    taps = columns(units, w.shape[2:], g.shape[2:], stride, padding, dilation).reshape(size, -1, count)
    up, flat = g.reshape(*g.shape[:2], count), x.reshape(*x.shape[:2], size)
    grad_w = np.einsum("nop,qtp,ncq->oct", up, taps, flat).reshape(w.shape)
    grad_x = np.einsum("nop,qtp,oct->ncq", up, taps, w.reshape(*w.shape[:2], -1)).reshape(x.shape)
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def windows_and_full_correlation(x, w, b, g, stride, padding, dilation):
    wide = spread(g, stride, placements(x, w, padding, dilation))
    flip = (..., *[slice(None, None, -1)] * len(stride))
    taps = [0, *range(2, g.ndim)]
    grad_w = np.tensordot(g, windows(pad(x, padding), w.shape[2:], stride, dilation), (taps, taps))
    return result(full(wide, w[flip], padding, dilation), grad_w, bias_gradient(g))


@per_group
def windows_and_einsum(x, w, b, g, stride, padding, dilation):
    view = windows(pad(x, padding), w.shape[2:], stride, dilation)
    y = np.einsum("nchwij,ocij->nohw", view, w)
    y = y if b is None else y + b[:, None, None]
    grad_w = np.einsum("nohw,nchwij->ocij", g, view, optimize=True)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, np.einsum("nohw->o", g), y)


@per_group
def windows_written_back(x, w, b, g, stride, padding, dilation):
    """The windows of the gradient are a writeable view, one placement at a time."""
    xp = pad(x, padding)
    grad_xp, (sh, sw), (dh, dw) = np.zeros_like(xp), stride, dilation
    n, c, down, right = grad_xp.strides
    steps = (n, c, sh * down, sw * right, dh * down, dw * right)
    shape = (*x.shape[:2], *g.shape[2:], *w.shape[2:])
    view, taken = as_strided(grad_xp, shape, steps), as_strided(xp, shape, xp.strides[:2] + steps[2:])
    for i, j in np.ndindex(g.shape[2:]):
        view[:, :, i, j] += np.tensordot(g[:, :, i, j], w, 1)
    grad_w = np.tensordot(g, taken, ([0, 2, 3], [0, 2, 3]))
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def g_as_the_kernel(x, w, b, g, stride, padding, dilation):
    """The weight gradient correlates x with the spread g; rows that the floor left over are cut off."""
    wide = spread(g, stride, [s * (n - 1) + 1 for s, n in zip(stride, g.shape[2:], strict=True)])
    found = np.tensordot(wide, windows(pad(x, padding), wide.shape[2:], (1, 1), (1, 1)), ([0, 2, 3], [0, 4, 5]))
    (dh, dw), (kh, kw) = dilation, w.shape[2:]
    grad_w = found[:, :, : dh * (kh - 1) + 1 : dh, : dw * (kw - 1) + 1 : dw]
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def convolve_and_correlate(x, w, b, g, stride, padding, dilation):
    (p,), (d,) = padding, dilation
    wide, holes = (
        spread(g, stride, placements(x, w, padding, dilation)),
        spread(w, dilation, [d * (w.shape[2] - 1) + 1]),
    )
    grad_x, grad_w, xp = np.zeros_like(x), np.zeros_like(w), pad(x, padding)
    for n, o, c in np.ndindex(len(x), *w.shape[:2]):
        grad_x[n, c] += np.convolve(wide[n, o], holes[o, c], "full")[p : p + x.shape[2]]
        grad_w[o, c] += np.correlate(xp[n, c], wide[n, o], "valid")[::d]
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def fourier(x, w, b, g, stride, padding, dilation):
    """Both gradients by FFT, in float64."""
    axes, xp = tuple(range(2, x.ndim)), pad(x, padding).astype(np.float64)
    size, reach = xp.shape[2:], [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    wide, holes = spread(g, stride, size).astype(np.float64), spread(w, dilation, reach).astype(np.float64)
    x_hat, g_hat, w_hat = (np.fft.rfftn(t, size, axes) for t in (xp, wide, holes))
    grad_w = np.fft.irfftn(np.einsum("nc...,no...->oc...", x_hat, g_hat.conj()), size, axes)
    grad_xp = np.fft.irfftn(np.einsum("no...,oc...->nc...", g_hat, w_hat), size, axes)
    grad_w = grad_w[(..., *(slice(0, r, d) for r, d in zip(reach, dilation, strict=True)))]
    return result(crop(grad_xp, padding, x.shape[2:]).astype(x.dtype), grad_w.astype(w.dtype), bias_gradient(g))


@per_group
def fourier_of_rows(x, w, b, g, stride, padding, dilation):
    """Columns by taps, rows by FFT."""
    (sh, _), (dh, _), xp = stride, dilation, pad(x, padding)
    grad_xp, grad_w, fft, back = np.zeros_like(xp), np.zeros_like(w), np.fft.fft, np.fft.ifft
    wide = spread(g, (1, stride[1]), (g.shape[2], xp.shape[3]))
    holes = spread(w, (1, dilation[1]), (w.shape[2], xp.shape[3]))
    for i, a in np.ndindex(g.shape[2], w.shape[2]):
        up, kernel, row = (fft(t) for t in (wide[:, :, i], holes[:, :, a], xp[:, :, i * sh + a * dh]))
        grad_xp[:, :, i * sh + a * dh] += back(np.einsum("now,ocw->ncw", up, kernel)).real.astype(x.dtype)
        lags = back(np.einsum("now,ncw->ocw", up.conj(), row)).real[..., : dilation[1] * w.shape[3] : dilation[1]]
        grad_w[:, :, a] += lags[..., : w.shape[3]].astype(w.dtype)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def stride_phases(x, w, b, g, stride, padding, dilation):
    """In 1-D each phase of the stride is a layer of its own with stride 1."""
    (s,), (p,), (d,), xp = stride, padding, dilation, pad(x, padding)
    grad_xp, grad_w, count = np.zeros_like(xp), np.zeros_like(w), g.shape[2]
    for a in range(w.shape[2]):
        phase, skip = a * d % s, a * d // s
        grad_w[:, :, a] = np.einsum("nol,ncl->oc", g, xp[:, :, phase::s][:, :, skip : skip + count])
        grad_xp[:, :, phase::s][:, :, skip : skip + count] += np.einsum("nol,oc->ncl", g, w[:, :, a])
    return result(grad_xp[:, :, p : p + x.shape[2]], grad_w, bias_gradient(g))
