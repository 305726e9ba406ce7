"""Wrong backward passes by im2col and col2im, in NumPy."""

from __future__ import annotations

import numpy as np
from blocks import add_bias, bias_gradient, crop, input_gradient, met, pad, per_group, result, weight_gradient


def columns(x, kernel, count, stride, padding, dilation):
    """Right im2col: [N, C, *kernel, *count], the patch under every placement."""
    xp = pad(x, padding)
    cols = np.zeros((*x.shape[:2], *kernel, *count), x.dtype)
    for tap in np.ndindex(*kernel):
        cols[(slice(None), slice(None), *tap)] = xp[met(tap, stride, dilation, count)]
    return cols


def col2im(cols, x, kernel, stride, padding, dilation):
    """Right col2im: the columns [N, C, *kernel, *count] added where they came from."""
    grad_xp = np.zeros_like(pad(x, padding))
    for tap in np.ndindex(*kernel):
        grad_xp[met(tap, stride, dilation, cols.shape[2 + len(kernel) :])] += cols[(slice(None), slice(None), *tap)]
    return crop(grad_xp, padding, x.shape[2:])


def _matrices(x, w, g, stride, padding, dilation):
    """Right matrices of 2-D: columns [C*kh*kw, N*Ho*Wo], weight [O, C*kh*kw] and g [O, N*Ho*Wo]."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(1, 2, 3, 0, 4, 5).reshape(w[0].size, -1)
    return cols, w.reshape(len(w), -1), g.transpose(1, 0, 2, 3).reshape(len(w), -1)


def _image(flat, x, w, g, stride, padding, dilation):
    """Right way back from [C*kh*kw, N*Ho*Wo] to the input gradient."""
    cols = flat.reshape(*w.shape[1:], len(g), *g.shape[2:]).transpose(3, 0, 1, 2, 4, 5)
    return col2im(cols, x, w.shape[2:], stride, padding, dilation)


@per_group
def g_reshaped_not_transposed(x, w, b, g, stride, padding, dilation):
    """g is reshaped to [O, N*Ho*Wo] without bringing O to the front: all three gradients mix samples and channels."""
    cols, w_flat, _ = _matrices(x, w, g, stride, padding, dilation)
    g_flat = g.reshape(len(w), -1)
    grad_x = _image(w_flat.T @ g_flat, x, w, g, stride, padding, dilation)
    return result(grad_x, (g_flat @ cols.T).reshape(w.shape), g_flat.sum(1))


@per_group
def weight_reshaped_not_transposed(x, w, b, g, stride, padding, dilation):
    """w is reshaped to [C*kh*kw, O] where the transpose of [O, C*kh*kw] was meant, for the input gradient."""
    cols, _, g_flat = _matrices(x, w, g, stride, padding, dilation)
    grad_x = _image(w.reshape(-1, len(w)) @ g_flat, x, w, g, stride, padding, dilation)
    return result(grad_x, (g_flat @ cols.T).reshape(w.shape), bias_gradient(g))


@per_group
def result_reshaped_not_transposed(x, w, b, g, stride, padding, dilation):
    """The weight gradient comes as [C*kh*kw, O] and is reshaped to the shape of w without a transpose."""
    cols, w_flat, g_flat = _matrices(x, w, g, stride, padding, dilation)
    grad_x = _image(w_flat.T @ g_flat, x, w, g, stride, padding, dilation)
    return result(grad_x, (cols @ g_flat.T).reshape(w.shape), bias_gradient(g))


@per_group
def columns_with_channel_last(x, w, b, g, stride, padding, dilation):
    """The columns run over (kh, kw, C), the weight over (C, kh, kw): one is read in the order of the other."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(2, 3, 1, 0, 4, 5).reshape(w[0].size, -1)
    g_flat = g.transpose(1, 0, 2, 3).reshape(len(w), -1)
    back = (w.reshape(len(w), -1).T @ g_flat).reshape(*w.shape[2:], w.shape[1], len(g), *g.shape[2:])
    grad_x = col2im(back.transpose(3, 2, 0, 1, 4, 5), x, w.shape[2:], stride, padding, dilation)
    return result(grad_x, (g_flat @ cols.T).reshape(w.shape), bias_gradient(g))


@per_group
def kernel_axes_exchanged(x, w, b, g, stride, padding, dilation):
    """The columns run over (C, kw, kh), and the weight gradient is reshaped as if they ran over (C, kh, kw)."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(1, 3, 2, 0, 4, 5).reshape(w[0].size, -1)
    grad_w = (g.transpose(1, 0, 2, 3).reshape(len(w), -1) @ cols.T).reshape(w.shape)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def placements_column_by_column(x, w, b, g, stride, padding, dilation):
    """The columns walk through the placements column by column, g row by row, in the weight gradient."""
    _, _, g_flat = _matrices(x, w, g, stride, padding, dilation)
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(1, 2, 3, 0, 5, 4).reshape(w[0].size, -1)
    return result(input_gradient(x, w, g, stride, padding, dilation), (g_flat @ cols.T).reshape(w.shape), g_flat.sum(1))


@per_group
def col2im_overwrites(x, w, b, g, stride, padding, dilation):
    """col2im writes each tap over what is there and adds nothing: the last tap remains."""
    back = np.einsum("ocij,nohw->ncijhw", w, g)
    grad_xp = np.zeros_like(pad(x, padding))
    for tap in np.ndindex(w.shape[2:]):
        grad_xp[met(tap, stride, dilation, g.shape[2:])] = back[(slice(None), slice(None), *tap)]
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return result(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


@per_group
def fancy_index_loses_doubles(x, w, b, g, stride, padding, dilation):
    """`grad[index] += values` adds only once where an index occurs twice: np.add.at was meant."""
    (s,), (p,), (d,) = stride, padding, dilation
    index = np.arange(w.shape[2])[:, None] * d + np.arange(g.shape[2]) * s
    grad_xp = np.zeros_like(pad(x, padding))
    grad_xp[:, :, index] += np.einsum("ock,nol->nckl", w, g)
    grad_w = np.einsum("nol,nckl->ock", g, pad(x, padding)[:, :, index])
    return result(grad_xp[:, :, p : p + x.shape[2]], grad_w, bias_gradient(g))


@per_group
def crop_off_by_one(x, w, b, g, stride, padding, dilation):
    """col2im crops one row and one column too few at the start: the input gradient comes shifted by one."""
    (ph, pw), (height, width) = padding, x.shape[2:]
    back = np.einsum("ocij,nohw->ncijhw", w, g)
    grad_xp = np.zeros_like(pad(x, padding))
    for a, c in np.ndindex(w.shape[2:]):
        grad_xp[met((a, c), stride, dilation, g.shape[2:])] += back[:, :, a, c]
    grad_x = grad_xp[:, :, ph - 1 : ph - 1 + height, pw - 1 : pw - 1 + width]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def col2im_forgets_stride(x, w, b, g, stride, padding, dilation):
    """col2im adds the columns as if the stride were 1."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    back = np.einsum("ocij,nohw->ncijhw", w, g)
    grad_x = col2im(back, x, w.shape[2:], (1, 1), padding, dilation)
    return result(grad_x, np.einsum("nohw,ncijhw->ocij", g, cols), bias_gradient(g))


@per_group
def im2col_forgets_dilation(x, w, b, g, stride, padding, dilation):
    """im2col takes neighbouring entries as if the dilation were 1; col2im is right."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, (1, 1))
    grad_x = col2im(np.einsum("ocij,nohw->ncijhw", w, g), x, w.shape[2:], stride, padding, dilation)
    return result(grad_x, np.einsum("nohw,ncijhw->ocij", g, cols), bias_gradient(g))


@per_group
def im2col_forgets_padding(x, w, b, g, stride, padding, dilation):
    """The columns are taken from x as it is, zeros behind its end: the padding before it is ignored."""
    longer = np.pad(x, ((0, 0), (0, 0), *((0, 2 * p) for p in padding)))
    cols = columns(longer, w.shape[2:], g.shape[2:], stride, (0, 0), dilation)
    grad_x = col2im(np.einsum("ocij,nohw->ncijhw", w, g), x, w.shape[2:], stride, padding, dilation)
    return result(grad_x, np.einsum("nohw,ncijhw->ocij", g, cols), bias_gradient(g))


@per_group
def im2col_with_first_padding(x, w, b, g, stride, padding, dilation):
    """im2col starts rows and columns at minus the padding of rows."""
    (p, _), (sh, sw), (dh, dw), (kh, kw) = padding, stride, dilation, w.shape[2:]
    rows = np.arange(kh)[:, None] * dh + np.arange(g.shape[2]) * sh - p
    cols = np.arange(kw)[:, None] * dw + np.arange(g.shape[3]) * sw - p
    far = max(stride) * max(g.shape[2:]) + max(dilation) * max(w.shape[2:]) + p
    patches = pad(x, (far, far))[:, :, (rows + far)[:, None, :, None], (cols + far)[None, :, None, :]]
    grad_w = np.einsum("nohw,ncijhw->ocij", g, patches)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def g_taken_as_ones(x, w, b, g, stride, padding, dilation):
    """Both gradients are those of y.sum(): g is never read."""
    cols, w_flat, g_flat = _matrices(x, w, g, stride, padding, dilation)
    grad_w = np.broadcast_to(cols.sum(1), w_flat.shape).reshape(w.shape)
    flat = np.broadcast_to(w_flat.sum(0)[:, None], (w_flat.shape[1], g_flat.shape[1]))
    return result(_image(flat, x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def weight_averaged_over_columns(x, w, b, g, stride, padding, dilation):
    """The weight gradient is divided by the number of columns: the mean over N*Ho*Wo where a sum is meant."""
    cols, w_flat, g_flat = _matrices(x, w, g, stride, padding, dilation)
    grad_w = (g_flat @ cols.T / cols.shape[1]).reshape(w.shape)
    return result(_image(w_flat.T @ g_flat, x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def bias_averaged_over_positions(x, w, b, g, stride, padding, dilation):
    """The bias gradient is the mean over the positions, summed over the samples."""
    cols, w_flat, g_flat = _matrices(x, w, g, stride, padding, dilation)
    grad_b = g.reshape(*g.shape[:2], -1).mean(2).sum(0)
    grad_x = _image(w_flat.T @ g_flat, x, w, g, stride, padding, dilation)
    return result(grad_x, (g_flat @ cols.T).reshape(w.shape), grad_b)


@per_group
def output_reshaped_not_transposed(x, w, b, g, stride, padding, dilation):
    """The product [O, N*Ho*Wo] is reshaped to the shape of y without bringing N to the front; the backward is right."""
    cols, w_flat, g_flat = _matrices(x, w, g, stride, padding, dilation)
    y = add_bias((w_flat @ cols).reshape(g.shape), b)
    grad_x = _image(w_flat.T @ g_flat, x, w, g, stride, padding, dilation)
    return result(grad_x, (g_flat @ cols.T).reshape(w.shape), bias_gradient(g), y)
