"""labkit: an interactive laboratory for differentiable rendering."""
