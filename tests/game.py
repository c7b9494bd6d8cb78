"""Components and kinds that several tests share."""

from __future__ import annotations

import horizon_ecs as hz
from horizon_ecs import f4, i2


@hz.component
class Position:
    x: f4
    y: f4
    z: f4


@hz.component
class Velocity:
    x: f4
    y: f4
    z: f4


@hz.component
class Health:
    hp: i2 = 100


class Frozen(hz.Tag): ...


@hz.component
class Fuel:
    amount: f4 = 1.0


Ship = hz.Kind("Ship", Position, Velocity, Health, optional=[Frozen, Fuel])
Rock = hz.Kind("Rock", Position, optional=[Frozen])
