"""One file a format, each `render(report, style)`: text, in pieces, from plain data."""
