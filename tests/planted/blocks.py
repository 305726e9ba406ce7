"""Right parts that the planted implementations share, in NumPy, for any number of axes."""

from __future__ import annotations

from functools import update_wrapper

import numpy as np


def pad(x, padding):
    return np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))


def crop(xp, padding, size):
    return xp[(..., *(slice(p, p + n) for p, n in zip(padding, size, strict=True)))]


def met(tap, stride, dilation, count):
    """Where in the padded input `count` placements of the kernel put this tap."""
    rows = zip(tap, stride, dilation, count, strict=True)
    return (..., *(slice(t * d, t * d + (n - 1) * s + 1, s) for t, s, d, n in rows))


def bias_gradient(g):
    return g.sum((0, *range(2, g.ndim)))


def weight_gradient(x, w, g, stride, padding, dilation):
    """Of a layer without groups."""
    xp, grad_w = pad(x, padding), np.zeros_like(w)
    axes = [0, *range(2, g.ndim)]
    for tap in np.ndindex(w.shape[2:]):
        grad_w[(..., *tap)] = np.tensordot(g, xp[met(tap, stride, dilation, g.shape[2:])], (axes, axes))
    return grad_w


def input_gradient(x, w, g, stride, padding, dilation):
    """Of a layer without groups."""
    grad_xp = np.zeros_like(pad(x, padding))
    for tap in np.ndindex(w.shape[2:]):
        part = np.einsum("no...,oc->nc...", g, w[(..., *tap)])
        grad_xp[met(tap, stride, dilation, g.shape[2:])] += part
    return crop(grad_xp, padding, x.shape[2:])


def output(x, w, b, g, stride, padding, dilation):
    """Of a layer without groups; g says how large it is."""
    xp, y = pad(x, padding), np.zeros_like(g)
    for tap in np.ndindex(w.shape[2:]):
        y += np.einsum("nc...,oc->no...", xp[met(tap, stride, dilation, g.shape[2:])], w[(..., *tap)])
    return add_bias(y, b)


def add_bias(y, b):
    return y if b is None else y + b.reshape(-1, *[1] * (y.ndim - 2))


def result(grad_input, grad_weight, grad_bias, output=None):
    found = {"grad_input": grad_input, "grad_weight": grad_weight, "grad_bias": grad_bias}
    return found if output is None else {**found, "output": output}


def per_group(function):
    """Call `function(x, w, b, g, stride, padding, dilation)`, which knows no groups, on each group of channels."""

    def grouped(x, w, b, g, *, stride, padding, dilation, groups):
        bs = [None] * groups if b is None else np.split(b, groups)
        split = zip(np.split(x, groups, 1), np.split(w, groups), bs, np.split(g, groups, 1), strict=True)
        parts = [function(*operands, stride, padding, dilation) for operands in split]
        axes = {"grad_input": 1, "grad_weight": 0, "grad_bias": 0, "output": 1}
        return {name: np.concatenate([part[name] for part in parts], axes[name]) for name in parts[0]}

    update_wrapper(grouped, function)
    del grouped.__wrapped__  # its own signature is the one to call
    return grouped
