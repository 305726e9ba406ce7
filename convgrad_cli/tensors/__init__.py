"""Numbers in: operands from fills, text and files."""
