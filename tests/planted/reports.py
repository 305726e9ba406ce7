"""Faults that frameworks had, each as a small wrong implementation of what its report shows."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from blocks import bias_gradient, crop, met, pad, per_group, weight_gradient
from blocks import input_gradient as right_input
from blocks import result as found
from torch_style import CONV, TRANSPOSED, WEIGHT, input_gradient, result
from torch_style import bias_gradient as torch_bias
from torch_style import weight_gradient as torch_weight


@per_group
def column_of_missing_placement(x, w, b, g, stride, padding, dilation):
    """A column at which a placement past the last one would start is left out whole, not for that tap alone."""
    (sw, pw, dw), grad_xp = (stride[1], padding[1], dilation[1]), np.zeros_like(pad(x, padding))
    for q in range(grad_xp.shape[3]):
        if q % sw == 0 and q // sw >= g.shape[3] and q - pw < x.shape[3]:
            continue
        for a, c in np.ndindex(w.shape[2:]):
            j, rest = divmod(q - c * dw, sw)
            if rest == 0 and 0 <= j < g.shape[3]:
                (rows,) = met((a,), stride[:1], dilation[:1], g.shape[2:3])[1:]
                grad_xp[:, :, rows, q] += np.einsum("noh,oc->nch", g[..., j], w[:, :, a, c])
    grad_w = weight_gradient(x, w, g, stride, padding, dilation)
    return found(crop(grad_xp, padding, x.shape[2:]), grad_w, bias_gradient(g))


def transposed_backward_without_stride(x, w, b, g, *, stride, padding, dilation, groups, transposed):
    """The backward of a transposed layer convolves g with stride 1, and keeps as much as x has."""
    assert transposed, "the report is on a transposed layer"
    grad_x = CONV[g.dim() - 3](g, w, None, 1, padding, dilation, groups)
    grad_x = grad_x[(..., *(slice(n) for n in x.shape[2:]))]
    # x and g change places in the weight gradient of a transposed layer.
    grad_w = WEIGHT[g.dim() - 3](g, w.shape, x, stride, padding, dilation, groups)
    return result(grad_x, grad_w, torch_bias(g))


def transposed_weight_with_stride_for_dilation(x, w, b, g, *, stride, padding, dilation, groups, transposed):
    """The weight gradient of a transposed layer convolves g with x as the kernel, stride and dilation exchanged."""
    assert transposed, "the report is on a transposed layer"
    grad_x = CONV[g.dim() - 3](g, w, None, stride, padding, dilation, groups)
    parts = [
        F.conv2d(gs.transpose(0, 1), xs.transpose(0, 1), None, stride, padding, dilation).transpose(0, 1)
        for gs, xs in zip(g.chunk(groups, 1), x.chunk(groups, 1), strict=True)
    ]
    grad_w = torch.cat(parts)[:, :, : w.shape[2], : w.shape[3]]
    return result(grad_x, grad_w, torch_bias(g))


def dilation_left_out_of_backward(x, w, b, g, *, stride, padding, dilation, groups):
    """Both gradients are those of the layer with dilation 1, on as many placements as the layer has."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = CONV[g.dim() - 3](x, w, None, stride, padding, 1, groups)
    y[(..., *(slice(n) for n in g.shape[2:]))].backward(g)
    return result(x.grad, w.grad, torch_bias(g))


def volume_groups_out_of_step(x, w, b, g, *, stride, padding, dilation, groups):
    """Group k of a 3-D layer finds the channels of x at k times the output channels of a group, not the input ones."""
    many, size, grad_x, grad_w = len(w) // groups, w.shape[1], np.zeros_like(x), np.zeros_like(w)
    for k in range(groups):
        own = slice(k * many, (k + 1) * many)
        channels = [(k * many + c) % x.shape[1] for c in range(size)]
        right, layer = slice(k * size, (k + 1) * size), (stride, padding, dilation)
        grad_x[:, right] = right_input(x[:, right], w[own], g[:, own], *layer)
        grad_w[own] = weight_gradient(x[:, channels], w[own], g[:, own], *layer)
    return found(grad_x, grad_w, bias_gradient(g))


@per_group
def last_row_checked_in_padded_rows(x, w, b, g, stride, padding, dilation):
    """The row of the padded input is compared with the height of x: the last row of taps lacks the last placements."""
    (sh, sw), (dh, dw), xp, grad_w = stride, dilation, pad(x, padding), np.zeros_like(w)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        if i * sh + a * dh < x.shape[2]:
            grad_w[:, :, a, c] += g[:, :, i, j].T @ xp[:, :, i * sh + a * dh, j * sw + c * dw]
    return found(right_input(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))


def bias_summed_one_by_one_in_bfloat16(x, w, b, g, *, stride, padding, dilation, groups):
    """The bias gradient is a running sum in bfloat16, which ones can't bring beyond 256."""
    total = torch.zeros(len(w), dtype=torch.bfloat16)
    for part in g.transpose(0, 1).flatten(1).bfloat16().unbind(1):
        total += part
    layer = (stride, padding, dilation, groups)
    return result(input_gradient(x, w, g, *layer), torch_weight(x, w, g, *layer), total.to(w.dtype))


def mean_for_sum(x, w, b, g, *, stride, padding, dilation, groups):
    """The gradients of weight and bias are averaged over samples and positions where a sum is meant."""
    layer, count = (stride, padding, dilation, groups), g.numel() // g.shape[1]
    return result(input_gradient(x, w, g, *layer), torch_weight(x, w, g, *layer) / count, torch_bias(g) / count)


@per_group
def buffer_shared_by_samples(x, w, b, g, stride, padding, dilation):
    """One buffer serves all samples and is not set to zero between them: each has those before added."""
    buffer, grad_x = np.zeros_like(pad(x[:1], padding)), np.zeros_like(x)
    for n in range(len(x)):
        for tap in np.ndindex(w.shape[2:]):
            part = np.einsum("o...,oc->c...", g[n], w[(..., *tap)])
            buffer[0][met(tap, stride, dilation, g.shape[2:])] += part
        grad_x[n] = crop(buffer, padding, x.shape[2:])[0]
    return found(grad_x, weight_gradient(x, w, g, stride, padding, dilation), bias_gradient(g))


def swapped_in_the_call(x, w, b, g, *, stride, padding, dilation, groups):
    """Both gradients call the transposed layer and the weight's with stride and dilation exchanged, and cut to size."""
    wide = TRANSPOSED[g.dim() - 3](g, w, None, dilation, 0, 0, groups, stride)
    rows = list(zip(x.shape[2:], padding, wide.shape[2:], strict=True))
    grad_x = F.pad(wide, [a for n, p, m in reversed(rows) for a in (-p, n + p - m)])
    longer = F.pad(x, [a for d, n in reversed(list(zip(dilation, wide.shape[2:], strict=True))) for a in (0, d * n)])
    parts = [
        CONV[g.dim() - 3](xs.transpose(0, 1), gs.transpose(0, 1), None, stride, padding, dilation).transpose(0, 1)
        for xs, gs in zip(longer.chunk(groups, 1), g.chunk(groups, 1), strict=True)
    ]
    grad_w = torch.cat(parts)[(..., *(slice(k) for k in w.shape[2:]))]
    return result(grad_x, grad_w, torch_bias(g))


def request_left_out_of_weight(x, w, b, g, *, stride, padding, dilation, groups, output_mask=(True, True, True)):
    """Asked for without the input gradient, the weight gradient lacks the samples after the first."""
    layer = (stride, padding, dilation, groups)
    kept = slice(None) if output_mask[0] else slice(1)
    return result(
        input_gradient(x, w, g, *layer) if output_mask[0] else None,
        torch_weight(x[kept], w, g[kept], *layer) if output_mask[1] else None,
        torch_bias(g) if output_mask[2] else None,
    )


def storage_taken_for_numbers(x, w, b, g, *, stride, padding, dilation, groups):
    """g is copied as it is stored: of a stride-0 g, as y.sum().backward() hands it over, one number arrives."""
    stored = torch.empty(0, dtype=g.dtype).set_(g.untyped_storage())[g.storage_offset() :][: g.numel()]
    copy = torch.zeros(g.numel(), dtype=g.dtype)
    copy[: len(stored)] = stored
    layer, copy = (stride, padding, dilation, groups), copy.view(g.shape)
    return result(input_gradient(x, w, copy, *layer), torch_weight(x, w, copy, *layer), torch_bias(copy))


def weight_not_mirrored(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient transposes the channels of the weight and does not mirror its taps."""
    layer = (stride, padding, dilation, groups)
    mirrored = w.flip(*range(2, w.dim()))  # the transposed layer mirrors once more
    return result(input_gradient(x, mirrored, g, *layer), torch_weight(x, w, g, *layer), torch_bias(g))


def height_for_width(x, w, b, g, *, stride, padding, dilation, groups):
    """fold is given every pair as (width, height), and its result is reshaped to the shape of x."""
    up, kernel = g.flatten(2).unflatten(1, (groups, -1)), w.flatten(1).unflatten(0, (groups, -1))
    back = (kernel.mT @ up).flatten(1, 2)
    turned = x.shape[:1:-1], w.shape[:1:-1], dilation[::-1], padding[::-1], stride[::-1]
    grad_x = F.fold(back, *turned).reshape(x.shape)
    return result(grad_x, torch_weight(x, w, g, stride, padding, dilation, groups), torch_bias(g))
