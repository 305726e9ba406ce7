"""Options declared once; one module a command; one place that prints and exits."""
