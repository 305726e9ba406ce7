"""Capture of the convolutions in a real model: what each run of one had, and what autograd left for it."""
