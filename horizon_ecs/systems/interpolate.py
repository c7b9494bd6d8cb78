"""Interpolate: values between the samples that frames brought, for whole tables at once.

A track is what travels together: up to four numbers of a component. It has a row for each entity, and in each row a
ring of its last samples. Rows are drawn a delay behind: one period of the channel that carries them, so that as a
rule the next sample is there when it is needed. Past the newest they go on as the wire's own linear predictor does,
for a while.

    time, value, cut    f8[R, K], f8[R, K, F], u1[R, K]   the rings; cut: not connected with the sample before
    head, count         i8[R]                             the newest sample's place, and how many there are
    velocity            f8[R, F]                          a tick, past the newest sample; 0 where nothing predicts
    offset, offset_at   f8[R, F], f8[R]                   what was drawn too far at that tick; fades over `blend` ticks
    delay               f8[R, 3]                          where it goes to, where it was, at which tick
    mode                u1[F]                             how each number is drawn
    settings            f8[3]                             blend (ticks), most ticks beyond a sample, top speed (a tick)
"""

from __future__ import annotations

import math

import numpy as np

from horizon_ecs.kernel import helper, kernel

STEP, LINEAR, HERMITE, ANGLE, ROTATION = range(5)
BLEND, BEYOND, SPEED = range(3)  # of `settings`
TARGET, FROM, SINCE = range(3)  # of `delay`

# A delay grows and shrinks by half a tick a tick: things go on at half or one and a half times their speed meanwhile.
DELAY_SLEW = 0.5
TURN = 2 * math.pi


@helper
def _delay_at(delay, r, tick):
    """A row's delay at a tick."""
    target, start = delay[r, TARGET], delay[r, FROM]
    change = DELAY_SLEW * max(0.0, tick - delay[r, SINCE])
    return max(target, start - change) if start > target else min(target, start + change)


@helper
def _find(time, head, count, r, moment):
    """How many samples back the last one at or before a moment is; the count where there is none."""
    n = time.shape[1]
    for back in range(count[r]):
        if time[r, (head[r] - back) % n] <= moment:
            return back
    return count[r]


@helper
def _hermite(time, value, cut, count, r, f, back, a, b, part):
    """Between two samples, each with the slope that led to it: so that no later sample changes a curve."""
    n = time.shape[1]
    va, vb = value[r, a, f], value[r, b, f]
    out_slope = vb - va
    in_slope = out_slope
    if back + 1 < count[r] and cut[r, a] == 0:
        before = (a - 1) % n
        span = (time[r, b] - time[r, a]) / (time[r, a] - time[r, before])
        in_slope = (va - value[r, before, f]) * span
    square = part * part
    cube = square * part
    return (
        (2 * cube - 3 * square + 1) * va
        + (cube - 2 * square + part) * in_slope
        + (3 * square - 2 * cube) * vb
        + (cube - square) * out_slope
    )


@helper
def _raw(time, value, cut, head, count, velocity, mode, beyond, r, f, back, moment):
    """One number at a moment, without what is left of an offset."""
    n = time.shape[1]
    if back == count[r]:
        return value[r, (head[r] - count[r] + 1) % n, f]
    a = (head[r] - back) % n
    if mode[f] == STEP:
        return value[r, a, f]
    if back == 0:
        return value[r, a, f] + velocity[r, f] * min(moment - time[r, a], beyond)
    b = (a + 1) % n
    if cut[r, b] != 0:
        return value[r, a, f]
    part = (moment - time[r, a]) / (time[r, b] - time[r, a])
    if mode[f] == HERMITE:
        return _hermite(time, value, cut, count, r, f, back, a, b, part)
    return value[r, a, f] + (value[r, b, f] - value[r, a, f]) * part


@helper
def _align(given, last, mode, out):
    """The same value, said so that it is near the last one: angles not a turn away, rotations on the same half."""
    dot = 0.0
    for f in range(len(mode)):
        out[f] = given[f]
        if mode[f] == ANGLE:
            out[f] += TURN * math.floor((last[f] - given[f]) / TURN + 0.5)
        dot += given[f] * last[f]
    if mode[0] == ROTATION and dot < 0:
        for f in range(len(mode)):
            out[f] = -out[f]


@helper
def _connect(time, value, cut, velocity, mode, speed, r, a, b, predicts):
    """Note whether sample b follows sample a without a teleport, and how it goes on from there."""
    distance = 0.0
    span = time[r, b] - time[r, a]
    for f in range(len(mode)):
        if mode[f] == LINEAR or mode[f] == HERMITE:
            distance += (value[r, b, f] - value[r, a, f]) ** 2
    cut[r, b] = distance > (speed * span) ** 2
    for f in range(len(mode)):
        goes_on = cut[r, b] == 0 and mode[f] != STEP and predicts[f] == predicts[f]
        velocity[r, f] = (value[r, b, f] - value[r, a, f]) / span if goes_on else 0.0


@helper
def _put(time, value, cut, head, count, velocity, mode, speed, r, t, given, predicts, line):
    """Add a sample to a row's ring, or replace the newest where that is of the same tick."""
    n = time.shape[1]
    last = head[r]
    if count[r] > 0:
        _align(given, value[r, last], mode, line)
    if count[r] == 0 or time[r, last] != t:
        head[r] = (last + 1) % n
        count[r] = min(count[r] + 1, n)
    time[r, head[r]] = t
    for f in range(len(mode)):
        value[r, head[r], f] = line[f] if count[r] > 1 else given[f]
    if count[r] > 1:
        _connect(time, value, cut, velocity, mode, speed, r, (head[r] - 1) % n, head[r], predicts)
    else:
        velocity[r] = 0.0
        cut[r, head[r]] = 0


@helper
def _append(time, value, cut, head, count, velocity, mode, speed, r, t, period, given, before, lines):
    """Add what a frame brought; and where that isn't a period behind the last sample, what was a period before it."""
    if count[r] > 0 and time[r, head[r]] > t:
        count[r] = 0
    if count[r] == 0 or time[r, head[r]] < t - period:
        predicts = False
        for f in range(len(mode)):
            known = before[f] == before[f]
            predicts |= known
            lines[0, f] = before[f] if known else value[r, head[r], f] if count[r] > 0 else given[f]
        if predicts or count[r] > 0:
            _put(time, value, cut, head, count, velocity, mode, speed, r, t - period, lines[0, : len(mode)], before,
                 lines[1])  # fmt: skip
    _put(time, value, cut, head, count, velocity, mode, speed, r, t, given, before, lines[1])


@helper
def _left(offset_at, r, tick, blend):
    """The part of a row's offset that has not faded."""
    return min(max(1.0 - (tick - offset_at[r]) / blend, 0.0), 1.0)


@helper
def _blend(offset, offset_at, r, tick, lines, limit):
    """Take over as a row's offset how far what was drawn is from what is to be; nothing where that is further than
    it goes."""
    distance = 0.0
    for f in range(offset.shape[1]):
        offset[r, f] = lines[0, f] - lines[1, f]
        distance += offset[r, f] ** 2
    offset_at[r] = tick
    if not distance <= limit * limit:
        offset[r] = 0.0


@kernel(
    "void(int64[::1], uint8[::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64, "
    "float64[:, ::1], float64[:, :, ::1], uint8[:, ::1], int64[::1], int64[::1], float64[:, ::1], float64[:, ::1], "
    "float64[::1], float64[:, ::1], uint8[::1], float64[::1], float64[:, ::1])"
)
def push(
    places, entered, sampled, period, given, before, tick,
    time, value, cut, head, count, velocity, offset, offset_at, delay, mode, settings, lines
):  # fmt: skip
    """Add a sample to some rows of a track; what is drawn of them at `tick` stays where it is.

    Parameters
    ----------
    places : int64[n]        in      rows
    entered : uint8[n]       in      1 where what the row held before was another's
    sampled : float64[n]     in      ticks of the samples
    period : float64[n]      in      ticks from one sample to the next
    given : float64[n, F]    in
    before : float64[n, F]   in      one period earlier, NaN where the wire predicts no line
    tick : float64           in      what is drawn now
    time … settings          in/out  the track, see above
    lines : float64[4, 4]            scratch

    Oracle: tests/naive_interpolate.py::Track. Cost: O(n K), allocates nothing.
    """
    n_fields = len(mode)
    for m in range(len(places)):
        r = places[m]
        known = count[r] > 0 and entered[m] == 0
        moment = tick - _delay_at(delay, r, tick)
        if known:
            back = _find(time, head, count, r, moment)
            left = _left(offset_at, r, tick, settings[BLEND])
            for f in range(n_fields):
                raw = _raw(time, value, cut, head, count, velocity, mode, settings[BEYOND], r, f, back, moment)
                lines[2, f] = raw
                lines[3, f] = raw if mode[f] == STEP else raw + offset[r, f] * left
        else:
            count[r] = 0
            offset_at[r] = -np.inf
            offset[r] = 0.0
        _append(time, value, cut, head, count, velocity, mode, settings[SPEED], r, sampled[m], period[m], given[m],
                before[m], lines[:2])  # fmt: skip
        if not known:
            continue
        moved = False
        back = _find(time, head, count, r, moment)
        for f in range(n_fields):
            raw = _raw(time, value, cut, head, count, velocity, mode, settings[BEYOND], r, f, back, moment)
            moved |= raw != lines[2, f]
            lines[0, f] = raw if mode[f] == STEP else lines[3, f]
            lines[1, f] = raw
        if moved:
            _blend(offset, offset_at, r, tick, lines[:2], settings[SPEED] * settings[BLEND])


@kernel("void(int64[::1], uint8[::1], float64[::1], float64, float64[:, ::1])")
def retime(places, entered, period, tick, delay):
    """Let rows go over to the delay of the channel that carries them now.

    Parameters
    ----------
    places : int64[n]          in      rows
    entered : uint8[n]         in      1 where they begin with it
    period : float64[n]        in      of the channel, 0 where none carries them: then they keep what they have
    tick : float64             in      what is drawn now
    delay : float64[R, 3]      in/out

    Oracle: tests/naive_interpolate.py::Track. Cost: O(n).
    """
    for i in range(len(places)):
        r = places[i]
        if entered[i] != 0:
            delay[r, FROM] = delay[r, TARGET] = period[i]
            delay[r, SINCE] = tick
        elif period[i] > 0 and period[i] != delay[r, TARGET]:
            delay[r, FROM] = _delay_at(delay, r, tick)
            delay[r, TARGET] = period[i]
            delay[r, SINCE] = tick


@kernel(
    "void(int64[::1], float64, float64[:, ::1], float64[:, :, ::1], uint8[:, ::1], int64[::1], int64[::1], "
    "float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], uint8[::1], float64[::1], float64[:, ::1])"
)
def sample(
    places, tick, time, value, cut, head, count, velocity, offset, offset_at, delay, mode, settings, out
):  # fmt: skip
    """What is drawn of some rows of a track.

    Parameters
    ----------
    places : int64[n]      in   rows
    tick : float64         in   what is drawn now
    time … settings        in   the track, see above
    out : float64[F, n]    out  angles from -π to π, rotations of length 1; NaN where no sample has come

    Oracle: tests/naive_interpolate.py::Track. Cost: O(n K), allocates nothing.
    """
    n_fields = len(mode)
    for i in range(len(places)):
        r = places[i]
        if count[r] == 0:
            for f in range(n_fields):
                out[f, i] = np.nan
            continue
        moment = tick - _delay_at(delay, r, tick)
        back = _find(time, head, count, r, moment)
        left = _left(offset_at, r, tick, settings[BLEND])
        square = 0.0
        for f in range(n_fields):
            drawn = _raw(time, value, cut, head, count, velocity, mode, settings[BEYOND], r, f, back, moment)
            if mode[f] != STEP and left > 0:
                drawn += offset[r, f] * left
            if mode[f] == ANGLE:
                drawn -= TURN * math.floor(drawn / TURN + 0.5)
            out[f, i] = drawn
            square += drawn * drawn
        if mode[0] == ROTATION and square > 0:
            for f in range(n_fields):
                out[f, i] /= math.sqrt(square)
