"""The network: `wire`, `session` and `limits` make events of bytes without I/O; `server` and `client` are adapters."""
