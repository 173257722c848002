"""C++ for CPUs, compiled on first use where a compiler is at hand."""
