"""Training examples made by program: one small function for each kind, all drawn from a seed."""
