"""In-fills compared on held-out holes."""
