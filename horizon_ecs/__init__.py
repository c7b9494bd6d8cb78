"""Horizon ECS: thousands of moving things that thousands of clients watch.

Everything public stands here and is loaded when it is first used, so that the import itself is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from horizon_ecs.access import Entity as Entity
    from horizon_ecs.access import Read as Read
    from horizon_ecs.access import Res as Res
    from horizon_ecs.access import Write as Write
    from horizon_ecs.adaptive import Adaptation as Adaptation
    from horizon_ecs.callbacks import Callbacks as Callbacks
    from horizon_ecs.capacity import Population as Population
    from horizon_ecs.capacity import plan as plan
    from horizon_ecs.checking import SystemCheck as SystemCheck
    from horizon_ecs.checking import check_system as check_system
    from horizon_ecs.commands import Commands as Commands
    from horizon_ecs.compaction import SlotMap as SlotMap
    from horizon_ecs.components import Name as Name
    from horizon_ecs.components import Tag as Tag
    from horizon_ecs.components import Time as Time
    from horizon_ecs.components import component as component
    from horizon_ecs.components import event as event
    from horizon_ecs.components import make_component as make_component
    from horizon_ecs.components import object_component as object_component
    from horizon_ecs.components import resource as resource
    from horizon_ecs.config import LoggingConfig as LoggingConfig
    from horizon_ecs.config import NetworkConfig as NetworkConfig
    from horizon_ecs.config import PluginConfig as PluginConfig
    from horizon_ecs.config import RegionConfig as RegionConfig
    from horizon_ecs.config import ServerConfig as ServerConfig
    from horizon_ecs.config import SpatialConfig as SpatialConfig
    from horizon_ecs.declare import System as System
    from horizon_ecs.declare import system as system
    from horizon_ecs.diff import Diff as Diff
    from horizon_ecs.dissection import dissect as dissect
    from horizon_ecs.errors import ArgumentError as ArgumentError
    from horizon_ecs.errors import CapacityError as CapacityError
    from horizon_ecs.errors import CheckFailure as CheckFailure
    from horizon_ecs.errors import CompileError as CompileError
    from horizon_ecs.errors import ConnectionClosed as ConnectionClosed
    from horizon_ecs.errors import DefinitionError as DefinitionError
    from horizon_ecs.errors import HorizonError as HorizonError
    from horizon_ecs.errors import ListenError as ListenError
    from horizon_ecs.errors import PluginError as PluginError
    from horizon_ecs.errors import RecordingError as RecordingError
    from horizon_ecs.errors import SnapshotError as SnapshotError
    from horizon_ecs.errors import StaleHandleError as StaleHandleError
    from horizon_ecs.errors import SystemFailure as SystemFailure
    from horizon_ecs.errors import TokenError as TokenError
    from horizon_ecs.errors import WireError as WireError
    from horizon_ecs.event_system import EventSystem as EventSystem
    from horizon_ecs.events import Emit as Emit
    from horizon_ecs.events import Events as Events
    from horizon_ecs.feeding import decode_load as decode_load
    from horizon_ecs.feeding import feed as feed
    from horizon_ecs.fields import b1 as b1
    from horizon_ecs.fields import f2 as f2
    from horizon_ecs.fields import f4 as f4
    from horizon_ecs.fields import f8 as f8
    from horizon_ecs.fields import field as field
    from horizon_ecs.fields import i1 as i1
    from horizon_ecs.fields import i2 as i2
    from horizon_ecs.fields import i4 as i4
    from horizon_ecs.fields import i8 as i8
    from horizon_ecs.fields import quat as quat
    from horizon_ecs.fields import u1 as u1
    from horizon_ecs.fields import u2 as u2
    from horizon_ecs.fields import u4 as u4
    from horizon_ecs.fields import u8 as u8
    from horizon_ecs.fields import vec2 as vec2
    from horizon_ecs.fields import vec3 as vec3
    from horizon_ecs.fields import vec4 as vec4
    from horizon_ecs.gorc import GorcSystem as GorcSystem
    from horizon_ecs.gorc_objects import GorcObject as GorcObject
    from horizon_ecs.groups import Group as Group
    from horizon_ecs.handlers import Handler as Handler
    from horizon_ecs.handlers import Stop as Stop
    from horizon_ecs.hierarchy import Hierarchy as Hierarchy
    from horizon_ecs.interpolation import Interpolator as Interpolator
    from horizon_ecs.kinds import Kind as Kind
    from horizon_ecs.kinds import Layer as Layer
    from horizon_ecs.lookup import Lookup as Lookup
    from horizon_ecs.monitor.collector import MetricsCollector as MetricsCollector
    from horizon_ecs.monitor.monitor import HorizonMonitor as HorizonMonitor
    from horizon_ecs.monitor.process import ProcessUse as ProcessUse
    from horizon_ecs.monitor.process import process_use as process_use
    from horizon_ecs.monitor.report import SystemReport as SystemReport
    from horizon_ecs.monitor.thresholds import Alert as Alert
    from horizon_ecs.monitor.thresholds import Thresholds as Thresholds
    from horizon_ecs.net.client import Client as Client
    from horizon_ecs.net.client import connect as connect
    from horizon_ecs.net.clock import ServerClock as ServerClock
    from horizon_ecs.net.link import Backoff as Backoff
    from horizon_ecs.net.link import follow as follow
    from horizon_ecs.net.playback import Playback as Playback
    from horizon_ecs.net.players import Player as Player
    from horizon_ecs.net.rules import EventRule as EventRule
    from horizon_ecs.net.server import Server as Server
    from horizon_ecs.net.server import serve as serve
    from horizon_ecs.playing import Playhead as Playhead
    from horizon_ecs.plugin_host import Plugins as Plugins
    from horizon_ecs.plugins import Plugin as Plugin
    from horizon_ecs.plugins import find_plugins as find_plugins
    from horizon_ecs.prediction import Predictor as Predictor
    from horizon_ecs.query import Query as Query
    from horizon_ecs.random import Random as Random
    from horizon_ecs.recorder import FrameRecorder as FrameRecorder
    from horizon_ecs.recorder import RecordedObserver as RecordedObserver
    from horizon_ecs.recorder import WorldRecorder as WorldRecorder
    from horizon_ecs.recording import Recording as Recording
    from horizon_ecs.recording import open_recording as open_recording
    from horizon_ecs.relations import Parent as Parent
    from horizon_ecs.relations import Relation as Relation
    from horizon_ecs.replica import Replica as Replica
    from horizon_ecs.replication import Replicator as Replicator
    from horizon_ecs.snapshot import Snapshot as Snapshot
    from horizon_ecs.tokens import AuthStatus as AuthStatus
    from horizon_ecs.tokens import Credentials as Credentials
    from horizon_ecs.tokens import HmacTokens as HmacTokens
    from horizon_ecs.tokens import Identity as Identity
    from horizon_ecs.tokens import JwtTokens as JwtTokens
    from horizon_ecs.transform import Transform as Transform
    from horizon_ecs.transform import Transform2D as Transform2D
    from horizon_ecs.transform import WorldTransform as WorldTransform
    from horizon_ecs.transform import WorldTransform2D as WorldTransform2D
    from horizon_ecs.transform import propagate_transforms as propagate_transforms
    from horizon_ecs.transform import propagate_transforms_2d as propagate_transforms_2d
    from horizon_ecs.vectors import Vector as Vector
    from horizon_ecs.vectors import Vector2 as Vector2
    from horizon_ecs.vectors import Vector3 as Vector3
    from horizon_ecs.vectors import Vector4 as Vector4
    from horizon_ecs.visibility import EVERYWHERE as EVERYWHERE
    from horizon_ecs.when import seconds as seconds
    from horizon_ecs.world import World as World

_PLACES = {
    "access": "Entity Read Res Write",
    "adaptive": "Adaptation",
    "callbacks": "Callbacks",
    "capacity": "Population plan",
    "commands": "Commands",
    "compaction": "SlotMap",
    "components": "Name Tag Time component event make_component object_component resource",
    "config": "LoggingConfig NetworkConfig PluginConfig RegionConfig ServerConfig SpatialConfig",
    "diff": "Diff",
    "dissection": "dissect",
    "checking": "SystemCheck check_system",
    "errors": (
        "ArgumentError CapacityError CheckFailure CompileError ConnectionClosed DefinitionError HorizonError "
        "ListenError PluginError RecordingError SnapshotError StaleHandleError SystemFailure TokenError WireError"
    ),
    "event_system": "EventSystem",
    "events": "Emit Events",
    "feeding": "decode_load feed",
    "fields": "b1 f2 f4 f8 field i1 i2 i4 i8 quat u1 u2 u4 u8 vec2 vec3 vec4",
    "gorc": "GorcSystem",
    "gorc_objects": "GorcObject",
    "groups": "Group",
    "handlers": "Handler Stop",
    "hierarchy": "Hierarchy",
    "interpolation": "Interpolator",
    "kinds": "Kind Layer",
    "lookup": "Lookup",
    "monitor.collector": "MetricsCollector",
    "monitor.monitor": "HorizonMonitor",
    "monitor.process": "ProcessUse process_use",
    "monitor.report": "SystemReport",
    "monitor.thresholds": "Alert Thresholds",
    "net.client": "Client connect",
    "net.clock": "ServerClock",
    "net.link": "Backoff follow",
    "net.playback": "Playback",
    "net.players": "Player",
    "net.rules": "EventRule",
    "net.server": "Server serve",
    "playing": "Playhead",
    "plugin_host": "Plugins",
    "plugins": "Plugin find_plugins",
    "prediction": "Predictor",
    "query": "Query",
    "random": "Random",
    "recorder": "FrameRecorder RecordedObserver WorldRecorder",
    "recording": "Recording open_recording",
    "relations": "Parent Relation",
    "replica": "Replica",
    "replication": "Replicator",
    "declare": "System system",
    "snapshot": "Snapshot",
    "tokens": "AuthStatus Credentials HmacTokens Identity JwtTokens",
    "transform": ("Transform Transform2D WorldTransform WorldTransform2D propagate_transforms propagate_transforms_2d"),
    "vectors": "Vector Vector2 Vector3 Vector4",
    "visibility": "EVERYWHERE",
    "when": "seconds",
    "world": "World",
}
_MODULE_OF = {name: f"horizon_ecs.{module}" for module, names in _PLACES.items() for name in names.split()}

__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'horizon_ecs' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
