"""Benchmarks, run by airspeed velocity: make bench."""
