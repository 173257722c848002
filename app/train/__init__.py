"""Training the reader: data, examples made by program, packing, one loop."""
