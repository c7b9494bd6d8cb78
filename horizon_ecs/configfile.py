"""Configurations from a TOML file, the environment and flags: which key is which setting, and who said it.

A key is a setting's full name in the file, such as "server.max_connections". Later ones of these count: what the
program itself begins with, the file, the environment, flags.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from horizon_ecs.components import nearest
from horizon_ecs.config import (
    MAX_PORT,
    LoggingConfig,
    NetworkConfig,
    PluginConfig,
    RegionConfig,
    ServerConfig,
    SpatialConfig,
)
from horizon_ecs.elsewhere import ELSEWHERE
from horizon_ecs.errors import ArgumentError
from horizon_ecs.settings import HIDDEN, Rule, listed, settings_of

ADDRESS = "server.bind_address"
PREFIX = "HORIZON_"
# What Kubernetes says of a service called "horizon-server" to whoever runs beside it.
_OF_SERVICES = re.compile(r"_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_(TCP|UDP)\w*)?)$")
EXAMPLE = Path(__file__).parent / "config.toml"
"""Every key with its default, documented."""

PARTS: dict[str, tuple[str, type]] = {
    "server.region": ("region", RegionConfig),
    "gorc.spatial": ("spatial", SpatialConfig),
    "gorc.network": ("network", NetworkConfig),
    "plugins": ("plugins", PluginConfig),
    "logging": ("logging", LoggingConfig),
}
"""Sections that are a configuration of their own: the field of ServerConfig, and its class."""


@dataclass(frozen=True)
class Key:
    """A key of the file.

    Attributes
    ----------
    path : str
        Such as "server.security.banned_ips".
    part : str
        The field of ServerConfig whose configuration it belongs to, "" for ServerConfig itself.
    name : str
        The field.
    rule : Rule
    live, secret : bool
    """

    path: str
    part: str
    name: str
    rule: Rule
    live: bool = False
    secret: bool = False

    @property
    def section(self) -> str:
        """What stands in brackets above it."""
        return self.path.rpartition(".")[0]

    @property
    def variable(self) -> str:
        """The environment's name for it."""
        return PREFIX + self.path.upper().replace(".", "_")

    def of(self, config: ServerConfig) -> Any:
        """Its value; None where the whole section isn't set."""
        if self.path == ADDRESS:
            return joined_address(config.host, config.port)
        owner = getattr(config, self.part) if self.part else config
        return None if owner is None else getattr(owner, self.name)

    def shown(self, value: Any) -> str:
        """A value as a file has it."""
        return HIDDEN if self.secret and value else as_toml(value)


def split_address(value: Any) -> tuple[str, int] | None:
    """Host and port of "127.0.0.1:8080" or "[::1]:8080"; None for anything else."""
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not port.isdecimal() or int(port) > MAX_PORT or (":" in host and not host.startswith("[")):
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


def joined_address(host: str, port: int) -> str:
    """The opposite of `split_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _known() -> Iterator[Key]:
    yield Key(ADDRESS, "", "", Rule('an address such as "127.0.0.1:8080"', lambda value: bool(split_address(value))))
    for section, (part, cls) in {"server": ("", ServerConfig), **PARTS}.items():
        for one in settings_of(cls):
            path = one.metadata["key"] or f"{section}.{one.name}"
            if path != ADDRESS and one.name not in {part for part, _ in PARTS.values()}:
                meant = one.metadata
                yield Key(path, part, one.name, meant["rule"], meant["live"], meant["secret"])


KEYS: dict[str, Key] = {key.path: key for key in sorted(_known(), key=lambda key: (bool(key.part), key.section))}
SECTIONS = list(dict.fromkeys(key.section for key in KEYS.values()))
TOPS = list(dict.fromkeys(section.partition(".")[0] for section in SECTIONS))


def as_toml(value: Any) -> str:
    """A value as a file has it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_toml(one) for one in value)}]"
    if isinstance(value, bool | str | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


@dataclass(frozen=True)
class Given:
    """A value, and who said so: the file's name, an environment variable, or a flag."""

    value: Any
    origin: str


@dataclass(frozen=True)
class Source:
    """Where a configuration comes from, to be read again.

    Attributes
    ----------
    path : Path or None
    environ : mapping
    overrides : mapping
        By key.
    base : ServerConfig
    fixed : mapping
        Settings that a program has decided since.
    """

    path: Path | None
    environ: Mapping[str, str]
    overrides: Mapping[str, Any]
    base: ServerConfig
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls, path: str | os.PathLike[str] | None, *, environ: Mapping[str, str] | None,
        overrides: Mapping[str, Any] | None, base: ServerConfig
    ) -> Source:  # fmt: skip
        """A source; see `ServerConfig.load`."""
        said = os.environ if environ is None else environ
        ours = {name: text for name, text in said.items() if name.startswith(PREFIX)}
        return cls(None if path is None else Path(path), ours, dict(overrides or {}), base)

    def moved(self, settings: Mapping[str, Any]) -> Source:
        """One in which these settings are decided."""
        return replace(self, fixed={**self.fixed, **settings})

    def load(self) -> ServerConfig:
        """Read everything anew. Raises ArgumentError, OSError."""
        given, wrong = self.read()
        config, more = self._built(given)
        if wrong or more:
            raise ArgumentError(listed([*wrong, *more]))
        return replace(config, **self.fixed, source=self)

    def read(self) -> tuple[dict[str, Given], list[str]]:
        """What is said by key, as far as it may be, and what is wrong."""
        given: dict[str, Given] = {}
        wrong: list[str] = []
        for path, value, origin in self._said():
            if path not in KEYS:
                wrong.append(f"{origin}: {unknown(path)}")
            elif not KEYS[path].rule.fits(value):
                what = KEYS[path].rule.what.replace("True or False", "true or false").removesuffix(", or None")
                wrong.append(f"{origin}: {path} must be {what}, not {KEYS[path].shown(value)}")
            else:
                given[path] = Given(value, origin)
        return given, wrong

    def _said(self) -> Iterator[tuple[str, Any, str]]:
        """Key, value and who said so; later ones count."""
        if self.path is not None:
            try:
                tables = tomllib.loads(self.path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise ArgumentError(f"{self.path}: {error}") from None
            for path, value in _leaves(tables):
                yield path, value, str(self.path)
        variables = {key.variable: key for key in KEYS.values()}
        for name, text in sorted(self.environ.items()):
            if name in variables:
                yield variables[name].path, from_text(variables[name], text), name
            elif name.startswith(tuple(f"{PREFIX}{top.upper()}_" for top in TOPS)) and not _OF_SERVICES.search(name):
                yield name, text, "the environment"
        for path, value in self.overrides.items():
            yield path, from_text(KEYS[path], value) if path in KEYS and isinstance(value, str) else value, "--set"

    def _built(self, given: Mapping[str, Given]) -> tuple[ServerConfig, list[str]]:
        """The configuration, and what doesn't fit together in it."""
        wrong: list[str] = []
        values: dict[str, dict[str, Any]] = {"": {}}
        for path, one in given.items():
            key = KEYS[path]
            if path == ADDRESS:
                values[""]["host"], values[""]["port"] = split_address(one.value) or ("", 0)
            else:
                values.setdefault(key.part, {})[key.name] = one.value
        own = values.pop("")
        for section, (part, cls) in PARTS.items():
            if part in values:
                try:
                    own[part] = replace(getattr(self.base, part) or cls(), **values[part])
                except ArgumentError as error:
                    wrong.append(f"[{section}]: {error}")
        try:
            return replace(self.base, **own), wrong
        except ArgumentError as error:
            return self.base, [*wrong, f"[server]: {error}"]


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Key and value of all that a file says; of a section that nobody knows, itself."""
    for name, value in table.items():
        path = f"{above}.{name}" if above else name
        is_section = any(section == path or section.startswith(f"{path}.") for section in SECTIONS)
        if isinstance(value, dict) and (is_section or any(known.startswith(f"{path}.") for known in ELSEWHERE)):
            yield from _leaves(value, path)
        else:
            yield path, value


def unknown(path: str) -> str:
    """What to say of a key that there isn't: why, where that setting is, or which is nearest."""
    if path in ELSEWHERE:
        return f"{path} isn't a setting here: {ELSEWHERE[path]}"
    if path.startswith(PREFIX):
        return f"there is no variable {path}{nearest(path, [key.variable for key in KEYS.values()])}"
    if any(section == path or section.startswith(f"{path}.") for section in SECTIONS):
        return f"{path} is a section: write [{path}] above its keys"
    section, _, name = path.rpartition(".")
    if section not in SECTIONS and not any(known.startswith(f"{section}.") for known in ELSEWHERE):
        return f"there is no section [{path}]{nearest(path, SECTIONS)}"
    below = [other[len(section) + 1 :] for other in SECTIONS if other.startswith(f"{section}.")]
    same = [key.path.rpartition(".")[2] for key in KEYS.values() if key.section == section]
    others = [key.section for key in KEYS.values() if key.path.endswith(f".{name}")]
    if others:
        return f"there is no key {path}; it belongs to [{others[0]}]"
    known = f" (there are {', '.join(same)})" if same else ""
    return f"there is no key {path}{nearest(name, same + below) or known}"


def from_text(key: Key, text: str) -> Any:
    """A value that was given as text, such as by the environment: read as a file's, or as it stands where that fits."""
    if key.rule.fits(text):
        return text
    for written in (text, text.lower()):
        try:
            return tomllib.loads(f"value = {written}")["value"]
        except (tomllib.TOMLDecodeError, KeyError):
            continue
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return parts if key.rule.fits(parts) else text


def shown(config: ServerConfig) -> dict[str, dict[str, Any]]:
    """Each key's value, None where it isn't set, and who said so; secrets hidden."""
    given = config.source.read()[0] if config.source is not None else {}
    return {
        path: {
            "value": HIDDEN if key.secret and key.of(config) else key.of(config),
            "origin": given[path].origin if path in given else "default",
        }
        for path, key in KEYS.items()
    }


def described(config: ServerConfig) -> str:
    """The same as a file, with who said what as comments; keys that aren't set are comments altogether."""
    lines: list[str] = []
    section = ""
    for path, one in shown(config).items():
        if KEYS[path].section != section:
            section = KEYS[path].section
            lines += [*([""] if lines else []), f"[{section}]"]
        name, value = path.rpartition(".")[2], one["value"]
        lines.append(f"# {name}" if value is None else f"{name} = {as_toml(value)}  # {one['origin']}")
    return "\n".join(lines)


def differences(old: ServerConfig, new: ServerConfig) -> tuple[list[str], list[str]]:
    """Keys whose values differ: those that can change while a server runs, and those that need it to start anew."""
    changed = [key for key in KEYS.values() if key.of(old) != key.of(new)]
    return [key.path for key in changed if key.live], [key.path for key in changed if not key.live]
