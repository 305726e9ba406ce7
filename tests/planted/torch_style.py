"""Wrong backward passes in torch: by its convolutions, by unfold and fold, by autograd."""

from __future__ import annotations

from itertools import product
from math import prod

import torch
import torch.nn.functional as F
from torch.nn import grad as right

CONV = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
INPUT = (right.conv1d_input, right.conv2d_input, right.conv3d_input)
WEIGHT = (right.conv1d_weight, right.conv2d_weight, right.conv3d_weight)


def input_gradient(x, w, g, *layer):
    return INPUT[g.dim() - 3](x.shape, w, g, *layer)


def weight_gradient(x, w, g, *layer):
    return WEIGHT[g.dim() - 3](x, w.shape, g, *layer)


def bias_gradient(g):
    return g.sum([0, *range(2, g.dim())])


def result(grad_input, grad_weight, grad_bias, output=None):
    found = {"grad_input": grad_input, "grad_weight": grad_weight, "grad_bias": grad_bias}
    return found if output is None else {**found, "output": output}


def _left_over(x, w, stride, padding, dilation):
    """How many rows and columns the floor left over: the output_padding of the way back."""
    rows = zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    return [(n + 2 * p - d * (k - 1) - 1) % s for n, k, s, p, d in rows]


def remainder_padded_in_front(x, w, b, g, *, stride, padding, dilation, groups):
    """The transposed convolution is too small where the floor left rows over; they are padded in front."""
    grad_x = F.conv_transpose2d(g, w, None, stride, padding, 0, groups, dilation)
    (height, width), (h, q) = x.shape[2:], grad_x.shape[2:]
    grad_x = F.pad(grad_x, (width - q, 0, height - h, 0))
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def remainder_filled_with_zeros(x, w, b, g, *, stride, padding, dilation, groups):
    """Without output_padding the input gradient lacks rows that have terms, and zeros are put there."""
    grad_x = F.conv_transpose2d(g, w, None, stride, padding, 0, groups, dilation)
    (height, width), (h, q) = x.shape[2:], grad_x.shape[2:]
    grad_x = F.pad(grad_x, (0, width - q, 0, height - h))
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def remainder_stretched(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient, too small by what the floor left over, is stretched to the size of x."""
    grad_x = F.conv_transpose2d(g, w, None, stride, padding, 0, groups, dilation)
    grad_x = F.interpolate(grad_x, x.shape[2:], mode="nearest")
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def stride_for_dilation(x, w, b, g, *, stride, padding, dilation, groups):
    """The transposed convolution takes (stride, dilation) in the wrong order, and is cut or filled to size."""
    grad_x = TRANSPOSED[g.dim() - 3](g, w, None, dilation, 0, 0, groups, stride)
    rows = list(zip(x.shape[2:], padding, grad_x.shape[2:], strict=True))
    grad_x = F.pad(grad_x, [a for n, p, m in reversed(rows) for a in (-p, n + p - m)])
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def transposed_without_padding(x, w, b, g, *, stride, padding, dilation, groups):
    """The padding is not given to the transposed convolution, and its result is cut to the size of x."""
    grad_x = F.conv_transpose1d(g, w, None, stride, 0, _left_over(x, w, stride, padding, dilation), groups, dilation)
    grad_x = grad_x[..., : x.shape[2]]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def transposed_without_dilation(x, w, b, g, *, stride, padding, dilation, groups):
    """The dilation is not given to the transposed convolution; zeros fill what it lacks."""
    grad_x = TRANSPOSED[g.dim() - 3](g, w, None, stride, 0, 0, groups)
    rows = list(zip(x.shape[2:], padding, grad_x.shape[2:], strict=True))
    grad_x = F.pad(grad_x, [a for n, p, m in reversed(rows) for a in (-p, n + p - m)])
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def full_correlation_unrotated(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient is conv3d of g, spread and padded, with w transposed but not flipped."""
    left = _left_over(x, w, stride, padding, dilation)
    size = [s * (n - 1) + 1 + r for s, n, r in zip(stride, g.shape[2:], left, strict=True)]
    wide = g.new_zeros(*g.shape[:2], *size)
    wide[(..., *(slice(0, s * (n - 1) + 1, s) for s, n in zip(stride, g.shape[2:], strict=True)))] = g
    reach = [d * (k - 1) - p for k, p, d in zip(w.shape[2:], padding, dilation, strict=True)]
    turned = w.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    grad_x = F.conv3d(F.pad(wide, [r for r in reversed(reach) for _ in "ab"]), turned, None, 1, 0, dilation, groups)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def weight_from_cropped_end(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient by conv with g as the kernel comes too large, and its end is kept, not its beginning."""
    found = [
        F.conv2d(xs.transpose(0, 1), gs.transpose(0, 1), None, dilation, padding, stride).transpose(0, 1)
        for xs, gs in zip(x.chunk(groups, 1), g.chunk(groups, 1), strict=True)
    ]
    grad_w = torch.cat(found)[:, :, -w.shape[2] :, -w.shape[3] :]
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w, bias_gradient(g))


def weight_with_dense_g(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient by conv with g as the kernel, whose dilation should be the stride and is left out."""
    found = [
        F.conv2d(xs.transpose(0, 1), gs.transpose(0, 1), None, dilation, padding).transpose(0, 1)
        for xs, gs in zip(x.chunk(groups, 1), g.chunk(groups, 1), strict=True)
    ]
    grad_w = torch.cat(found)[:, :, : w.shape[2], : w.shape[3]]
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w, bias_gradient(g))


def _unfolded(x, w, stride, padding, dilation, groups):
    """Right columns of 2-D: [N, G, C/G*kh*kw, Ho*Wo]."""
    return F.unfold(x, w.shape[2:], dilation, padding, stride).unflatten(1, (groups, -1))


def view_for_permute(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient views g as [G, O/G, N*Ho*Wo] where N had to be moved first."""
    cols = _unfolded(x, w, stride, padding, dilation, groups).permute(1, 2, 0, 3).flatten(2)
    grad_w = g.reshape(groups, -1, cols.shape[2]) @ cols.mT
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w.reshape(w.shape), bias_gradient(g))


def folded_with_weight_viewed(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight is viewed as [C/G*kh*kw, O/G] where it had to be transposed, before fold."""
    flat = w.reshape(groups, -1, len(w) // groups) @ g.flatten(2).unflatten(1, (groups, -1))
    grad_x = F.fold(flat.flatten(1, 2), x.shape[2:], w.shape[2:], dilation, padding, stride)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def weight_memory_read_channels_last(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient is laid out as [O, kh, kw, C] in memory and read as [O, C, kh, kw]."""
    grad_w = weight_gradient(x, w, g, stride, padding, dilation, groups)
    buffer = torch.empty(w.numel(), dtype=w.dtype)
    buffer.copy_(grad_w.permute(0, 2, 3, 1).flatten())
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), buffer.view(w.shape), bias_gradient(g))


def g_read_in_memory_order(x, w, b, g, *, stride, padding, dilation, groups):
    """g is read by as_strided as if it were contiguous: wrong where it is sliced or permuted."""
    dense = [prod(g.shape[axis + 1 :]) for axis in range(g.dim())]
    room = g.untyped_storage().nbytes() // g.element_size() - g.storage_offset()
    read = g.as_strided(g.shape, dense) if room >= g.numel() else g
    grad_w = weight_gradient(x, w, read, stride, padding, dilation, groups)
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w, bias_gradient(g))


def mean_of_the_loss(x, w, b, g, *, stride, padding, dilation, groups):
    """The loss is a mean over the elements of y where a sum is meant: every gradient is divided by their number."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    b = torch.zeros(len(w), dtype=w.dtype, requires_grad=True)
    y = CONV[g.dim() - 3](x, w, b, stride, padding, dilation, groups)
    (y * g).mean().backward()
    return result(x.grad, w.grad, b.grad)


def sum_without_g(x, w, b, g, *, stride, padding, dilation, groups):
    """`y.sum().backward()`: g is taken as ones, in all gradients."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    b = torch.zeros(len(w), dtype=w.dtype, requires_grad=True)
    CONV[g.dim() - 3](x, w, b, stride, padding, dilation, groups).sum().backward()
    return result(x.grad, w.grad, b.grad)


def backward_called_twice(x, w, b, g, *, stride, padding, dilation, groups):
    """backward runs twice without setting the gradient of w to zero between: it is twice too large."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = CONV[g.dim() - 3](x, w, None, stride, padding, dilation, groups)
    y.backward(g, retain_graph=True)
    x.grad.zero_()
    y.backward(g)
    return result(x.grad, w.grad, bias_gradient(g))


_leaves = {}


def gradient_not_zeroed(x, w, b, g, *, stride, padding, dilation, groups):
    """The parameter lives on between calls, and nothing sets its .grad to zero."""
    leaf = _leaves.setdefault((w.shape, w.dtype), torch.zeros_like(w).requires_grad_())
    leaf.data.copy_(w)
    x = x.clone().requires_grad_()
    CONV[g.dim() - 3](x, leaf, None, stride, padding, dilation, groups).backward(g)
    return result(x.grad, leaf.grad.clone(), bias_gradient(g))


def sums_in_bfloat16(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient is summed in bfloat16, a sample at a time."""
    total = torch.zeros_like(w, dtype=torch.bfloat16)
    for xs, gs in zip(x.split(1), g.split(1), strict=True):
        total += weight_gradient(xs, w, gs, stride, padding, dilation, groups).bfloat16()
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), total.to(w.dtype), bias_gradient(g))


def fold_normalised(x, w, b, g, *, stride, padding, dilation, groups):
    """fold is divided by how many columns meet at each position, as one does to get an image back from patches."""
    up, kernel = g.flatten(2).unflatten(1, (groups, -1)), w.flatten(1).unflatten(0, (groups, -1))
    back, layer = (kernel.mT @ up).flatten(1, 2), (x.shape[2:], w.shape[2:], dilation, padding, stride)
    grad_x = F.fold(back, *layer) / F.fold(torch.ones_like(back), *layer)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def copied_where_added(x, w, b, g, *, stride, padding, dilation, groups):
    """`copy_` where `add_` was meant: the input gradient keeps the last tap that meets a position."""
    (sh, sw), (ph, pw), (dh, dw), (ho, wo) = stride, padding, dilation, g.shape[2:]
    grad_x = torch.zeros_like(F.pad(x, (pw, pw, ph, ph)))
    for i, j in product(range(w.shape[2]), range(w.shape[3])):
        kernel, upper = w[:, :, i, j].unflatten(0, (groups, -1)), g.unflatten(1, (groups, -1))
        rows, cols = slice(i * dh, i * dh + (ho - 1) * sh + 1, sh), slice(j * dw, j * dw + (wo - 1) * sw + 1, sw)
        grad_x[:, :, rows, cols].copy_(torch.einsum("nkohw,koc->nkchw", upper, kernel).flatten(1, 2))
    grad_x = grad_x[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]]
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def pad_in_order_of_axes(x, w, b, g, *, stride, padding, dilation, groups):
    """F.pad is given (ph, ph, pw, pw), and takes the last axis first: height and width are padded the wrong way."""
    (ph, pw), (ho, wo) = padding, g.shape[2:]
    cols = F.unfold(F.pad(x, (ph, ph, pw, pw + 2 * ph)), w.shape[2:], dilation, 0, stride)
    wide = (x.shape[3] + 2 * ph - dilation[1] * (w.shape[3] - 1) - 1) // stride[1] + 1
    cols = cols.unflatten(2, (-1, wide)).unflatten(1, (groups, -1))[..., :ho, :wo]
    grad_w = torch.einsum("nkohw,nkphw->kop", g.unflatten(1, (groups, -1)), cols).reshape(w.shape)
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w, bias_gradient(g))


def asked_mask_shifted(x, w, b, g, *, stride, padding, dilation, groups, output_mask=(True, True, True)):
    """The weight gradient is made only where the input gradient is asked for too; else it stays zero."""
    grad_x = grad_w = None
    if output_mask[0]:
        grad_x = input_gradient(x, w, g, stride, padding, dilation, groups)
    if output_mask[1]:
        grad_w = torch.zeros_like(w)
        if grad_x is not None:
            grad_w += weight_gradient(x, w, g, stride, padding, dilation, groups)
    return result(grad_x, grad_w, bias_gradient(g) if output_mask[2] else None)


def unrotated_and_averaged(x, w, b, g, *, stride, padding, dilation, groups):
    """Two at once: the kernel is flipped before a transposed convolution, which rotates it already, and / N."""
    grad_x = F.conv_transpose1d(
        g, w.flip(2), None, stride, padding, _left_over(x, w, stride, padding, dilation), groups, dilation
    )
    return result(grad_x / len(x), weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))


def first_sample_and_wrong_sign(x, w, b, g, *, stride, padding, dilation, groups):
    """Two at once: the weight gradient is minus that of the first sample."""
    grad_w = torch.zeros_like(w).sub_(weight_gradient(x[:1], w, g[:1], stride, padding, dilation, groups))
    return result(input_gradient(x, w, g, stride, padding, dilation, groups), grad_w, bias_gradient(g))


def own_function_forgets_groups(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient tiles the weight of group 0 over a layer without groups: every channel meets all of g."""
    whole = torch.cat([w[: len(w) // groups].repeat(groups, 1, *[1] * (w.dim() - 2))] * groups, 1)
    grad_x = input_gradient(x, whole, g, stride, padding, dilation, 1)
    return result(grad_x, weight_gradient(x, w, g, stride, padding, dilation, groups), bias_gradient(g))
