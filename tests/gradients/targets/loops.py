"""Right gradients of any layer in NumPy, a kernel entry at a time, in several conventions."""

from itertools import product

import numpy as np

SOURCES = {
    "zeros": lambda i, n: i if 0 <= i < n else None,
    "reflect": lambda i, n: n - 1 - abs(n - 1 - abs(i)),
    "replicate": lambda i, n: min(max(i, 0), n - 1),
    "circular": lambda i, n: i % n,
}


def everything(
    x, w, b, g, *, stride, padding, dilation, groups, output_padding, transposed=False, padding_mode="zeros"
):
    """All that can be asked for, of any layer."""
    lead = x.ndim - len(stride) - 1
    x, g = (t[None] if not lead else t for t in (x, g))
    y, dx, dw = np.zeros_like(g), np.zeros_like(x), np.zeros_like(w)
    before = [pad if isinstance(pad, int) else pad[0] for pad in padding]
    placed_on, put_on = (x.shape[2:], g.shape[2:]) if transposed else (g.shape[2:], x.shape[2:])
    inside, outside = x.shape[1] // groups, g.shape[1] // groups
    for tap in product(*map(range, w.shape[2:])):
        placed, met = [], []
        for size, count, t, s, d, pad in zip(put_on, placed_on, tap, stride, dilation, before, strict=True):
            found = [(q, SOURCES[padding_mode](q * s + t * d - pad, size)) for q in range(count)]
            placed.append([q for q, position in found if position is not None])
            met.append([position for _, position in found if position is not None])
        at_x, at_y = (placed, met) if transposed else (met, placed)
        for n, k in product(range(len(x)), range(groups)):
            for i, o in product(range(inside), range(outside)):
                ci, co = k * inside + i, k * outside + o
                xs, ys = (np.ix_([n], [ci], *at_x), np.ix_([n], [co], *at_y))
                at = (ci, o, *tap) if transposed else (co, i, *tap)
                np.add.at(y, ys, x[xs] * w[at])
                np.add.at(dx, xs, g[ys] * w[at])
                dw[at] += (x[xs] * g[ys]).sum()
    db = g.sum(axis=(0, *range(2, g.ndim)))
    if b is not None:
        y += b.reshape(-1, *[1] * (g.ndim - 2))
    y, dx = (t if lead else t[0] for t in (y, dx))
    return {"output": y, "grad_input": dx, "grad_weight": dw, "grad_bias": db}


def backward(x, w, b, g, *, stride, padding, dilation, groups):
    found = everything(
        x, w, b, g, stride=stride, padding=padding, dilation=dilation, groups=groups, output_padding=None
    )
    return found["grad_input"], found["grad_weight"], found["grad_bias"]


def scalars(x, w, b, g, stride, padding, dilation, groups=1):
    assert {type(stride), type(padding), type(dilation), type(groups)} == {int}
    dims = x.ndim - 2
    return backward(
        x, w, b, g, stride=(stride,) * dims, padding=(padding,) * dims, dilation=(dilation,) * dims, groups=groups
    )


def nhwc(x, w, b, g, *, stride, padding, dilation, groups):
    """x and g are [N, H, W, C], w is [H, W, I, O]."""
    assert all(t.flags.c_contiguous for t in (x, w, g))
    x, g = (np.moveaxis(t, -1, 1) for t in (x, g))
    w = w.transpose(3, 2, 0, 1)
    dx, dw, db = backward(x, w, b, g, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return np.moveaxis(dx, 1, -1), dw.transpose(2, 3, 1, 0), db


def masked(x, w, b, g, *, stride, padding, dilation, groups, output_mask):
    assert isinstance(output_mask, tuple)
    grads = backward(x, w, b, g, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return tuple(grad if asked else None for grad, asked in zip(grads, output_mask, strict=True))


def fills(x, w, b, g, *, stride, padding, dilation, groups, out):
    """Adds to the buffers, which is right only where they come as zeros."""
    grads = backward(x, w, b, g, stride=stride, padding=padding, dilation=dilation, groups=groups)
    for name, grad in zip(("grad_input", "grad_weight", "grad_bias"), grads, strict=True):
        if name in out:
            out[name] += grad


def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    found = everything(
        x, w, b, np.zeros((len(x), len(w), *_sizes(x, w, stride, pad)), x.dtype),
        stride=(stride,) * 2, padding=(pad,) * 2, dilation=(1, 1), groups=1, output_padding=(0, 0),
    )  # fmt: skip
    return found["output"], (x, w, b, conv_param)


def conv_backward_naive(dout, cache):
    x, w, b, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    return backward(x, w, b, dout, stride=(stride,) * 2, padding=(pad,) * 2, dilation=(1, 1), groups=1)


def _sizes(x, w, stride, pad):
    return [(n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[2:], w.shape[2:], strict=True)]
