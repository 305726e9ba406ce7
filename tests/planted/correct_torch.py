"""Right backward passes in torch, in every form in which people write them."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch_style import CONV, TRANSPOSED, bias_gradient, input_gradient, result, weight_gradient


def autograd(x, w, b, g, *, stride, padding, dilation, groups):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    b = (torch.zeros(len(w), dtype=w.dtype) if b is None else b.clone()).requires_grad_()
    y = CONV[g.dim() - 3](x, w, b, stride, padding, dilation, groups)
    return result(*torch.autograd.grad(y, (x, w, b), g), y.detach())


def functions_of_torch(x, w, b, g, *, stride, padding, dilation, groups):
    layer = (stride, padding, dilation, groups)
    return result(input_gradient(x, w, g, *layer), weight_gradient(x, w, g, *layer), bias_gradient(g))


def operator_of_torch(x, w, b, g, *, stride, padding, dilation, groups):
    layer = (stride, padding, dilation, False, [0] * len(stride), groups)
    return result(*torch.ops.aten.convolution_backward(g, x, w, [len(w)], *layer, [True, True, True]))


def _left_over(x, w, stride, padding, dilation):
    rows = zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) % s for n, k, s, p, d in rows]


def transposed_layer(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient is the transposed layer; its output_padding is what the floor left over."""
    left = _left_over(x, w, stride, padding, dilation)
    left = [a if a < max(s, d) else 0 for a, s, d in zip(left, stride, dilation, strict=True)]
    grad_x = TRANSPOSED[g.dim() - 3](g, w, None, stride, padding, left, groups, dilation)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def g_as_dilated_kernel(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient is conv2d with samples for channels, and stride and dilation exchanged."""
    found = [
        F.conv2d(xs.transpose(0, 1), gs.transpose(0, 1), None, dilation, padding, stride).transpose(0, 1)
        for xs, gs in zip(x.chunk(groups, 1), g.chunk(groups, 1), strict=True)
    ]
    grad_w = torch.cat(found)[:, :, : w.shape[2], : w.shape[3]]
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w, bias_gradient(g))


def unfold_and_fold(x, w, b, g, *, stride, padding, dilation, groups):
    cols = F.unfold(x, w.shape[2:], dilation, padding, stride).unflatten(1, (groups, -1))
    up, kernel = g.flatten(2).unflatten(1, (groups, -1)), w.flatten(1).unflatten(0, (groups, -1))
    grad_w = (up @ cols.mT).sum(0).reshape(w.shape)
    grad_x = F.fold((kernel.mT @ up).flatten(1, 2), x.shape[2:], w.shape[2:], dilation, padding, stride)
    y = (kernel @ cols).reshape(g.shape)
    return result(grad_x, grad_w, bias_gradient(g), y if b is None else y + b[:, None, None])


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, b, *layer):
        ctx.save_for_backward(x, w)
        ctx.layer = layer
        return CONV[x.dim() - 3](x, w, b, *layer)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        grads = input_gradient(x, w, g, *ctx.layer), weight_gradient(x, w, g, *ctx.layer), bias_gradient(g)
        return (*grads, *[None] * 4)


def autograd_function(x, w, b, g, *, stride, padding, dilation, groups):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    b = torch.zeros(len(w), dtype=w.dtype, requires_grad=True)
    _Conv.apply(x, w, b, stride, padding, dilation, groups).backward(g)
    return result(x.grad, w.grad, b.grad)


def vector_jacobian_product(x, w, b, g, *, stride, padding, dilation, groups):
    bias = torch.zeros(len(w), dtype=w.dtype) if b is None else b
    y, pull = torch.func.vjp(lambda *t: CONV[g.dim() - 3](*t, stride, padding, dilation, groups), x, w, bias)
    return result(*pull(g), y)


def windows_of_tensor_unfold(x, w, b, g, *, stride, padding, dilation, groups):
    """Windows by Tensor.unfold, and autograd through them."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    (sh, sw), (ph, pw), (dh, dw), (kh, kw) = stride, padding, dilation, w.shape[2:]
    view = F.pad(x, (pw, pw, ph, ph)).unfold(2, dh * (kh - 1) + 1, sh).unfold(3, dw * (kw - 1) + 1, sw)
    view = view[..., ::dh, ::dw].unflatten(1, (groups, -1))
    y = torch.einsum("nkchwij,kocij->nkohw", view, w.unflatten(0, (groups, -1))).flatten(1, 2)
    y.backward(g)
    return result(x.grad, w.grad, bias_gradient(g))


def index_add(x, w, b, g, *, stride, padding, dilation, groups):
    (s,), (p,), (d,) = stride, padding, dilation
    grad_x, xp = torch.zeros_like(F.pad(x, (p, p))), F.pad(x, (p, p))
    index = torch.arange(w.shape[2])[:, None] * d + torch.arange(g.shape[2]) * s
    up, kernel = g.unflatten(1, (groups, -1)), w.unflatten(0, (groups, -1))
    back = torch.einsum("nkol,kocj->nkcjl", up, kernel).flatten(1, 2)
    grad_x.index_add_(2, index.flatten(), back.flatten(2))
    grad_w = torch.einsum("nkol,nkcjl->kocj", up, xp[:, :, index].unflatten(1, (groups, -1))).reshape(w.shape)
    return result(grad_x[..., p : p + x.shape[2]], grad_w, bias_gradient(g))


def spread_g_and_rotated_kernel(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient is a plain convolution of the spread g with the rotated kernel, channels exchanged."""
    axes, left = range(2, w.dim()), _left_over(x, w, stride, padding, dilation)
    size = [s * (n - 1) + 1 + r for s, n, r in zip(stride, g.shape[2:], left, strict=True)]
    wide = g.new_zeros(*g.shape[:2], *size)
    wide[(..., *(slice(0, s * (n - 1) + 1, s) for s, n in zip(stride, g.shape[2:], strict=True)))] = g
    reach = [d * (k - 1) - p for k, p, d in zip(w.shape[2:], padding, dilation, strict=True)]
    turned = w.flip(*axes).unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    wide = F.pad(wide, [r for r in reversed(reach) for _ in "ab"])
    grad_x = CONV[g.dim() - 3](wide, turned, None, 1, 0, dilation, groups)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def taps_with_slices(x, w, b, g, *, stride, padding, dilation, groups):
    grad_x = F.pad(x, [p for p in reversed(padding) for _ in "ab"])
    xp, grad_x, grad_w = grad_x, torch.zeros_like(grad_x), torch.zeros_like(w)
    up, kernel, axes = g.unflatten(1, (groups, -1)), w.unflatten(0, (groups, -1)), tuple(range(3, g.dim() + 1))
    for tap in product(*map(range, w.shape[2:])):
        rows = zip(tap, stride, dilation, g.shape[2:], strict=True)
        at = (..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, s, d, n in rows))
        met = xp[at].unflatten(1, (groups, -1))
        grad_w[(..., *tap)] = (up.unsqueeze(3) * met.unsqueeze(2)).sum([0, *(a + 1 for a in axes)]).flatten(0, 1)
        grad_x[at] += torch.einsum("nko...,koc->nkc...", up, kernel[(..., *tap)]).flatten(1, 2)
    inside = (..., *(slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)))
    return result(grad_x[inside], grad_w, bias_gradient(g))
