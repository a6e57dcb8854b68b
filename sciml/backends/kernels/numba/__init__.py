"""Compiled CPU kernels. Every kernel works on a range of planes or rows; see `sciml.backends.threads`."""
