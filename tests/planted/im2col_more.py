"""More wrong backward passes by im2col: groups, 1-D and 3-D, memory of old calls, two at once."""

from __future__ import annotations

import numpy as np
from blocks import add_bias, bias_gradient, input_gradient, output, per_group, result, weight_gradient
from im2col import col2im, columns


def _grouped(x, w, g, stride, padding, dilation, groups):
    """Right columns [N, G, C/G, kh, kw, Ho, Wo], weight [G, O/G, C/G, kh, kw] and g [N, G, O/G, Ho, Wo]."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.reshape(len(x), groups, -1, *cols.shape[2:])
    return cols, w.reshape(groups, -1, *w.shape[1:]), g.reshape(len(g), groups, -1, *g.shape[2:])


def groups_split_on_inner_axis(x, w, b, g, *, stride, padding, dilation, groups):
    """g is split as [N, O/G, G]: the output channels of the groups are interleaved."""
    cols, w_groups, _ = _grouped(x, w, g, stride, padding, dilation, groups)
    g_groups = g.reshape(len(g), -1, groups, *g.shape[2:])
    grad_w = np.einsum("nokhw,nkcijhw->kocij", g_groups, cols).reshape(w.shape)
    back = np.einsum("nokhw,kocij->nkcijhw", g_groups, w_groups).reshape(*x.shape[:2], *w.shape[2:], *g.shape[2:])
    return result(col2im(back, x, w.shape[2:], stride, padding, dilation), grad_w, bias_gradient(g))


def groups_joined_inside_out(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient joins the groups as [N, C/G, G]: its channels come interleaved."""
    cols, w_groups, g_groups = _grouped(x, w, g, stride, padding, dilation, groups)
    grad_w = np.einsum("nkohw,nkcijhw->kocij", g_groups, cols).reshape(w.shape)
    back = np.einsum("nkohw,kocij->nckijhw", g_groups, w_groups).reshape(*x.shape[:2], *w.shape[2:], *g.shape[2:])
    return result(col2im(back, x, w.shape[2:], stride, padding, dilation), grad_w, bias_gradient(g))


def groups_in_reverse(x, w, b, g, *, stride, padding, dilation, groups):
    """Results of the groups are put in front of those before: the input gradient has its blocks in reverse order."""
    cols, w_groups, g_groups = _grouped(x, w, g, stride, padding, dilation, groups)
    grad_w = np.einsum("nkohw,nkcijhw->kocij", g_groups, cols).reshape(w.shape)
    back = np.zeros((len(x), 0, *w.shape[2:], *g.shape[2:]), x.dtype)
    for k in range(groups):
        back = np.concatenate([np.einsum("nohw,ocij->ncijhw", g_groups[:, k], w_groups[k]), back], axis=1)
    return result(col2im(back, x, w.shape[2:], stride, padding, dilation), grad_w, bias_gradient(g))


def added_in_every_group(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient of all groups is added once for each group: it is `groups` times too large."""
    cols, w_groups, g_groups = _grouped(x, w, g, stride, padding, dilation, groups)
    grad_x, grad_w = np.zeros_like(x), np.zeros_like(w_groups)
    for k in range(groups):
        grad_w[k] = np.einsum("nohw,ncijhw->ocij", g_groups[:, k], cols[:, k])
        back = np.einsum("nkohw,kocij->nkcijhw", g_groups, w_groups)
        grad_x += col2im(back.reshape(*x.shape[:2], *back.shape[3:]), x, w.shape[2:], stride, padding, dilation)
    return result(grad_x, grad_w.reshape(w.shape), bias_gradient(g))


@per_group
def added_for_every_sample(x, w, b, g, stride, padding, dilation):
    """The sums over the whole batch are added once for each sample: N times too large."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    grad_w, grad_b = np.zeros_like(w), np.zeros(len(w), w.dtype)
    for _ in range(len(x)):
        grad_w += np.einsum("nohw,ncijhw->ocij", g, cols)
        grad_b += bias_gradient(g)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, grad_b)


@per_group
def sign_of_the_loss(x, w, b, g, stride, padding, dilation):
    """The gradients of weight and bias are taken as the update and come with a minus."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    grad_w, grad_b = np.zeros_like(w), np.zeros(len(w), w.dtype)
    grad_w -= np.einsum("nohw,ncijhw->ocij", g, cols)
    grad_b -= np.einsum("nohw->o", g)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, grad_b)


@per_group
def bias_counted_twice(x, w, b, g, stride, padding, dilation):
    """The bias is a weight of a column of ones, and g.sum() is added to its gradient once more."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.reshape(len(x), w[0].size, -1)
    with_ones = np.concatenate([cols, np.ones_like(cols[:, :1])], 1)
    grads = np.einsum("nop,nkp->ok", g.reshape(*g.shape[:2], -1), with_ones)
    grad_b = grads[:, -1] + bias_gradient(g)
    return result(input_gradient(x, w, g, stride, padding, dilation), grads[:, :-1].reshape(w.shape), grad_b)


_columns = {}


def columns_of_first_call(x, w, b, g, *, stride, padding, dilation, groups):
    """The columns of x are kept and used again for the next x of the same shape."""
    key = (x.shape, x.dtype, w.shape, stride, padding, dilation)
    if key not in _columns:
        _columns[key] = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = _columns[key].reshape(len(x), groups, -1, *w.shape[2:], *g.shape[2:])
    g_groups = g.reshape(len(g), groups, -1, *g.shape[2:])
    grad_w = np.einsum("nkohw,nkcijhw->kocij", g_groups, cols).reshape(w.shape)
    parts = zip(np.split(x, groups, 1), np.split(w, groups), np.split(g, groups, 1), strict=True)
    grad_x = np.concatenate([input_gradient(*part, stride, padding, dilation) for part in parts], 1)
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def row_reads_reversed_taps(x, w, b, g, stride, padding, dilation):
    """In 1-D the columns hold the taps from last to first, in the weight gradient."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)[:, :, ::-1]
    grad_w = np.tensordot(g, cols, ([0, 2], [0, 3]))
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def volume_unfolded_width_first(x, w, b, g, stride, padding, dilation):
    """In 3-D the columns run over (C, kw, kh, kd) and are read as (C, kd, kh, kw), in the weight gradient."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(0, 1, 4, 3, 2, 5, 6, 7).reshape(len(x), w[0].size, -1)
    grad_w = np.einsum("nop,nkp->ok", g.reshape(*g.shape[:2], -1), cols).reshape(w.shape)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def volume_col2im_overwrites_depth(x, w, b, g, stride, padding, dilation):
    """In 3-D col2im adds the taps of a slice, and writes each slice of the kernel over those before."""
    back = np.einsum("ocijk,nodhw->ncijkdhw", w, g)
    grad_x = np.zeros_like(x)
    for a in range(w.shape[2]):
        part, hit = np.zeros_like(back), np.zeros_like(back)
        part[:, :, a], hit[:, :, a] = back[:, :, a], 1
        layer = (x, w.shape[2:], stride, padding, dilation)
        grad_x = np.where(col2im(hit, *layer) > 0, col2im(part, *layer), grad_x)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


@per_group
def reshaped_and_averaged(x, w, b, g, stride, padding, dilation):
    """Two at once: g is reshaped to [O, N*Ho*Wo] without a transpose, and the weight gradient divided by N."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.transpose(1, 2, 3, 0, 4, 5).reshape(w[0].size, -1)
    grad_w = (g.reshape(len(w), -1) @ cols.T).reshape(w.shape) / len(x)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


@per_group
def negated_last_sample(x, w, b, g, stride, padding, dilation):
    """Two at once: the weight gradient is that of the last sample, with a minus."""
    for n in range(len(x)):
        cols = columns(x[n : n + 1], w.shape[2:], g.shape[2:], stride, padding, dilation)
        grad_w = -np.einsum("ol,ckl->ock", g[n], cols[0])
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


def interleaved_with_mean(x, w, b, g, *, stride, padding, dilation, groups):
    """Two at once: g is split as [N, O/G, G], and the weight gradient is a mean over N*Ho*Wo."""
    cols = columns(x, w.shape[2:], g.shape[2:], stride, padding, dilation)
    cols = cols.reshape(len(x), groups, -1, *cols.shape[2:])
    g_groups = g.reshape(len(g), -1, groups, *g.shape[2:])
    grad_w = np.einsum("nokhw,nkcijhw->kocij", g_groups, cols).reshape(w.shape) / (g.size // g.shape[1])
    parts = zip(np.split(x, groups, 1), np.split(w, groups), np.split(g, groups, 1), strict=True)
    grad_x = np.concatenate([input_gradient(*part, stride, padding, dilation) for part in parts], 1)
    return result(grad_x, grad_w, bias_gradient(g))


@per_group
def forward_unpadded_shift_and_mean(x, w, b, g, stride, padding, dilation):
    """Two at once: the columns of y start at 0 and not at minus the padding, and the bias gradient is averaged."""
    far = [s * n + d * k for s, n, d, k in zip(stride, g.shape[2:], dilation, w.shape[2:], strict=True)]
    longer = np.pad(x, ((0, 0), (0, 0), *((0, n) for n in far)))
    cols = columns(longer, w.shape[2:], g.shape[2:], stride, (0, 0), dilation)
    y = add_bias(np.einsum("ocij,ncijhw->nohw", w, cols), b)
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, g.mean((0, 2, 3)), y)


@per_group
def output_without_bias(x, w, b, g, stride, padding, dilation):
    """y lacks the bias; the backward is right."""
    grad_x, grad_w = (f(x, w, g, stride, padding, dilation) for f in (input_gradient, weight_gradient))
    return result(grad_x, grad_w, bias_gradient(g), output(x, w, None, g, stride, padding, dilation))
