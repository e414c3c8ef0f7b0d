"""Common alternatives to the product, each as its users would write it, for the benchmarks."""
