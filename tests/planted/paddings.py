"""Wrong backward passes whose padding is worked out where it should be taken, and one with a ReLU before the layer."""

from __future__ import annotations

import numpy as np
from blocks import bias_gradient, input_gradient, per_group, result, weight_gradient

WIDE = 12  # more zeros around x than any of these paddings needs


def with_padding(x, w, b, g, stride, padding, dilation):
    """The gradients as of a layer with this padding, whatever size of g the right one gives."""
    around = ((0, 0), (0, 0), (WIDE, WIDE), (WIDE, WIDE))
    xp, grad_w = np.pad(x, around), np.zeros_like(w)
    grad_xp = np.zeros_like(xp)
    for i, j, a, c in np.ndindex(*g.shape[2:], *w.shape[2:]):
        r, q = (
            n * s + t * d - p + WIDE for n, s, t, d, p in zip((i, j), stride, (a, c), dilation, padding, strict=True)
        )
        grad_w[:, :, a, c] += g[:, :, i, j].T @ xp[:, :, r, q]
        grad_xp[:, :, r, q] += g[:, :, i, j] @ w[:, :, a, c]
    return result(grad_xp[:, :, WIDE:-WIDE, WIDE:-WIDE], grad_w, bias_gradient(g))


@per_group
def always_half_the_kernel(x, w, b, g, stride, padding, dilation):
    """The padding is always kernel // 2, whatever the layer has."""
    return with_padding(x, w, b, g, stride, tuple(k // 2 for k in w.shape[2:]), dilation)


@per_group
def times_the_dilation(x, w, b, g, stride, padding, dilation):
    """The padding is taken times the dilation."""
    return with_padding(x, w, b, g, stride, tuple(p * d for p, d in zip(padding, dilation, strict=True)), dilation)


@per_group
def times_the_stride(x, w, b, g, stride, padding, dilation):
    """The padding is taken times the stride, in the input gradient."""
    scaled = tuple(p * s for p, s in zip(padding, stride, strict=True))
    found = with_padding(x, w, b, g, stride, scaled, dilation)
    return {**found, "grad_weight": weight_gradient(x, w, g, stride, padding, dilation)}


@per_group
def relu_before(x, w, b, g, stride, padding, dilation):
    """The weight gradient reads x after a ReLU that the layer does not have."""
    grad_w = weight_gradient(np.maximum(x, 0), w, g, stride, padding, dilation)
    return result(input_gradient(x, w, g, stride, padding, dilation), grad_w, bias_gradient(g))
