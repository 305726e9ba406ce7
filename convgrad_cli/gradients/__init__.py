"""The routes to a gradient; each takes Operands and gives Gradients."""
