"""Bytes and time of the wire beside others: the same motion, to the same observers, at the same precision.

`python -m benchmarks.wire --help` tells how to run it.
"""
