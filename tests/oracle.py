"""The definition of a convolution and its gradients: nested loops over plain numbers, one multiply-add at a time.

It reads a layer's plain fields and nothing else of the package, so that it can witness against all of it.
"""

from itertools import product as every

Numbers = dict[tuple[int, ...], float]


def entries(tensor) -> Numbers:
    """The entries of a tensor by index, as plain numbers."""
    return dict(zip(every(*map(range, tensor.shape)), tensor.flatten().tolist(), strict=True))


def output_size(spec) -> tuple[int, ...]:
    """How often the kernel fits on each axis; for a transposed layer, what its placements cover."""
    sizes = []
    for n, k, s, d, (before, after), extra in _columns(spec):
        if spec.transposed:
            sizes.append((n - 1) * s + d * (k - 1) + 1 + extra - before - after)
        else:
            sizes.append(len(range(0, n + before + after - d * (k - 1), s)))
    return tuple(sizes)


def padded_from(position: int, size: int, mode: str) -> int | None:
    """The index whose value stands at `position` of an axis padded on both sides; None where a zero stands."""
    if 0 <= position < size or mode == "zeros":
        return position if 0 <= position < size else None
    if mode == "reflect":
        return -position if position < 0 else 2 * (size - 1) - position
    if mode == "circular":
        return position + size if position < 0 else position - size
    return 0 if position < 0 else size - 1


def definition(spec, x: Numbers, w: Numbers, b: Numbers | None, g: Numbers) -> dict[str, Numbers]:
    """The output and the gradients of sum(g * output), named like the operands."""
    batches = [()] if spec.batch_size is None else [(n,) for n in range(spec.batch_size)]
    inside, outside = spec.in_channels // spec.groups, spec.out_channels // spec.groups
    out = output_size(spec)
    placed_on, put_on = (spec.input_size, out) if spec.transposed else (out, spec.input_size)
    y, dx, dw = (dict.fromkeys(numbers, 0.0) for numbers in (g, x, w))
    for n, group, i, o in every(batches, range(spec.groups), range(inside), range(outside)):
        ci, co = group * inside + i, group * outside + o
        for tap, placement in every(every(*map(range, spec.kernel_size)), every(*map(range, placed_on))):
            met = []
            for size, t, q, (_, _, s, d, (before, _), _) in zip(put_on, tap, placement, _columns(spec), strict=True):
                met.append(padded_from(q * s + t * d - before, size, spec.padding_mode))
            if None in met:
                continue
            at_x, at_y = (placement, met) if spec.transposed else (met, placement)
            xi, yi = (*n, ci, *at_x), (*n, co, *at_y)
            wi = (ci, o, *tap) if spec.transposed else (co, i, *tap)
            y[yi] += x[xi] * w[wi]
            dx[xi] += g[yi] * w[wi]
            dw[wi] += g[yi] * x[xi]
    found = {"output": y, "input": dx, "weight": dw}
    if b is not None:
        found["bias"] = dict.fromkeys(b, 0.0)
        for index in g:
            channel = index[len(batches[0]) : len(batches[0]) + 1]
            y[index] += b[channel]
            found["bias"][channel] += g[index]
    return found


def _columns(spec) -> list[tuple]:
    fields = ("input_size", "kernel_size", "stride", "dilation", "padding", "output_padding")
    return list(zip(*(getattr(spec, field) for field in fields), strict=True))
