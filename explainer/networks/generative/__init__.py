"""Networks that make or complete images."""
