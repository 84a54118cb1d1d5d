"""Agreement of metrics with a known truth, over methods."""
