"""Pure tensor functions: each is an equation of a paper."""
