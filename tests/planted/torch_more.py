"""Wrong backward passes in torch: signs lost, results rolled, and what a layer with a ReLU beside it does."""

from __future__ import annotations

import torch
from torch_style import bias_gradient, input_gradient, result, weight_gradient


def negative_numbers_clamped(x, w, b, g, *, stride, padding, dilation, groups):
    """The ReLU that belongs to the output is applied to the input gradient."""
    layer = stride, padding, dilation, groups
    return result(input_gradient(x, w, g, *layer).relu(), weight_gradient(x, w, g, *layer), bias_gradient(g))


def size_of_the_weight_gradient(x, w, b, g, *, stride, padding, dilation, groups):
    """A weight gradient without its signs, as a plot of it has none."""
    layer = stride, padding, dilation, groups
    return result(input_gradient(x, w, g, *layer), weight_gradient(x, w, g, *layer).abs(), bias_gradient(g))


def relu_before_fused(x, w, b, g, *, stride, padding, dilation, groups):
    """The kernel is fused with the ReLU in front, whose mask is still applied."""
    layer = stride, padding, dilation, groups
    grad_x = torch.where(x > 0, input_gradient(x, w, g, *layer), 0)
    return result(grad_x, weight_gradient(x, w, g, *layer), bias_gradient(g))


def relu_after_fused(x, w, b, g, *, stride, padding, dilation, groups):
    """The kernel is fused with the ReLU behind, whose mask is applied to g first."""
    layer = stride, padding, dilation, groups
    conv = (torch.conv1d, torch.conv2d, torch.conv3d)[g.dim() - 3]
    g = torch.where(conv(x, w, b, *layer) > 0, g, 0)
    return result(input_gradient(x, w, g, *layer), weight_gradient(x, w, g, *layer), bias_gradient(g))


def rolled_for_the_border(x, w, b, g, *, stride, padding, dilation, groups):
    """The input gradient is moved by roll, which brings its last column to the front."""
    layer = stride, padding, dilation, groups
    grad_x = input_gradient(x, w, g, *layer).roll(1, -1)
    return result(grad_x, weight_gradient(x, w, g, *layer), bias_gradient(g))


def centre_tap_skipped(x, w, b, g, *, stride, padding, dilation, groups):
    """The tap in the middle of the kernel is taken for the entry itself, and left out."""
    layer = stride, padding, dilation, groups
    hole = w.clone()
    hole[(slice(None), slice(None), *(size // 2 for size in w.shape[2:]))] = 0
    return result(input_gradient(x, hole, g, *layer), weight_gradient(x, w, g, *layer), bias_gradient(g))


def averaged_over_the_input(x, w, b, g, *, stride, padding, dilation, groups):
    """The weight gradient is divided by the entries of a plane of x, not summed."""
    layer = stride, padding, dilation, groups
    grad_w = weight_gradient(x, w, g, *layer) / x[0, 0].numel()
    return result(input_gradient(x, w, g, *layer), grad_w, bias_gradient(g))
