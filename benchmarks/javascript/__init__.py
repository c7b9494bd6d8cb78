"""How fast the JavaScript client decodes the frames of a crowd: `python -m benchmarks.javascript`."""
