"""Keys of Horizon's own configuration files that have nothing to set here, and what stands in their place."""

from __future__ import annotations

_SPLIT = "[gorc.spatial] split_threshold and merge_threshold divide crowds in every tick"
_GRID = "entities are sorted into regions anew in every tick, so there is no index to tune"
_WORLD = "a World's capacity says it"
_LAYERS = "a kind's layers say it (Layer)"
_REPORT = "Server.report() and the metrics have it in any case"

ELSEWHERE: dict[str, str] = {
    "server.ping_interval": "frames leave at least once a second, and acknowledgements tell who is there "
    "(stall_timeout_s, connection_timeout)",
    "server.plugin_directory": "it is [plugins] directory",
    "server.security.enable_ddos_protection": "each limit has its own key: max_connections_per_ip, "
    "enable_rate_limiting, max_message_size, server.handshake_timeout_s",
    "gorc.general.max_objects": _WORLD,
    "gorc.general.max_players": "it is server.max_connections",
    "gorc.general.max_channels_per_object": _LAYERS,
    "gorc.general.auto_optimize_zones": _SPLIT,
    "gorc.general.optimization_interval_ms": _SPLIT,
    "gorc.general.debug_logging": "it is [logging] level",
    "gorc.virtualization.enabled": _SPLIT,
    "gorc.virtualization.density_threshold": _SPLIT,
    "gorc.virtualization.overlap_threshold": _SPLIT,
    "gorc.virtualization.max_virtual_zone_radius": "it is [gorc.spatial] max_region_size",
    "gorc.virtualization.min_zone_radius": "it is [gorc.spatial] min_region_size",
    "gorc.virtualization.check_interval_ms": _SPLIT,
    "gorc.virtualization.max_objects_per_virtual_zone": "it is [gorc.spatial] split_threshold",
    "gorc.spatial.world_bounds": "space has no bounds; [server.region] says which part of it is a server's",
    "gorc.spatial.max_objects_per_leaf": "it is [gorc.spatial] split_threshold",
    "gorc.spatial.rebuild_threshold": _GRID,
    "gorc.spatial.enable_caching": _GRID,
    "gorc.spatial.cache_expiry_ms": _GRID,
    "gorc.network.max_batch_size": "it is [gorc.network] batch_size",
    "gorc.network.channel_frequencies": _LAYERS,
    "gorc.network.max_queue_size_per_player": "server.window_s bounds what waits for a player, by time",
    "gorc.network.network_timeout_ms": "it is server.stall_timeout_s, in seconds",
    "gorc.network.enable_priority_sending": "where a budget doesn't suffice priorities always count (Layer.priority)",
    "gorc.monitoring.enable_stats": _REPORT,
    "gorc.monitoring.stats_interval_ms": "clients are told once a second, and metrics are read when somebody asks",
    "gorc.monitoring.enable_profiling": "systems are always timed",
    "gorc.monitoring.max_performance_samples": _REPORT,
    "gorc.monitoring.track_memory_usage": _REPORT,
    "gorc.monitoring.slow_operation_threshold_us": "times are kept as distributions, not counted above one bound",
    "gorc.monitoring.enable_performance_alerts": "alerts are there for whoever asks for them",
    **{
        f"server.region_bounds.{end}_{axis}": f"it is [server.region] {end}_{axis}"
        for axis in "xyz"
        for end in ("min", "max")
    },
}
