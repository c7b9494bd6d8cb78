"""Horizon ECS beside other entity component systems: the same checked workloads, written as each library's users would.

`python -m benchmarks.peers --help` tells how to run them. A peer is a module with `NAME`, `version()`, which raises
`Missing` where it isn't installed, and `WORKLOADS`, from a workload's key to a function of `Inputs` that prepares a
`Case`.
"""
