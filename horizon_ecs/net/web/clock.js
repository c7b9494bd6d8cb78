/**
 * The server's clock as a client reckons it: round trips and arrivals in, ticks out. No I/O; `now` is an argument.
 *
 * Two readings, both in ticks with fractions. `tick` is what the server is at now: inputs are stamped with it. `playout` is the tick
 * whose frame has come by now unless it is among the latest few: what is drawn hangs on that, since it asks nothing of how long the way
 * is. Neither ever falls, and a new estimate is approached by going a little faster or slower.
 */

/** Arrivals that are remembered. */
const FRAMES = 128;

/** Round trips that are remembered: half a minute at one in two seconds. */
const PONGS = 16;

/** Of the frames may come after their playout. */
const LATE = 1 / 20;

/** A reading runs so much faster or slower to where it should be. */
const SLEW = 0.05;

/** A reading further behind jumps: slewing would take longer than anybody watches. */
const MAX_BEHIND_S = 1;

export class ServerClock {
  /** Round trip time and its mean deviation, smoothed (RFC 6298, section 2); NaN before the first pong. */
  rttMs = NaN;
  rttDeviationMs = NaN;
  /** How often the server's ticks began anew, as a recording's do when it is played from an earlier point. Readings fall at no other time. */
  epoch = -1;

  #perMs;
  #lastTick = -1;
  /** Of the last frames, tick less the tick of our own clock: a ring, and its sorted copy. */
  #arrivals = new Float64Array(FRAMES);
  #ordered = new Float64Array(FRAMES);
  #nArrivals = 0;
  /** @type {[number, number][]} round trip time, and tick less the tick of our own clock */
  #roundTrips = [];
  #earliest = -Infinity;
  #playable = -Infinity;
  #middle = -Infinity;
  #tick;
  #playout;

  /** @param {number} tickRate ticks a second, from the welcome */
  constructor(tickRate) {
    if (!(tickRate > 0 && tickRate < Infinity)) throw new RangeError(`tickRate must be a positive number, not ${tickRate}`);
    this.tickRate = tickRate;
    this.#perMs = tickRate / 1000;
    this.#tick = new Reading(this.#perMs);
    this.#playout = new Reading(this.#perMs);
    this.#restart();
  }

  #restart() {
    this.epoch++;
    this.#nArrivals = 0;
    this.#roundTrips = [];
    this.#earliest = this.#playable = this.#middle = -Infinity;
    this.#tick = new Reading(this.#perMs);
    this.#playout = new Reading(this.#perMs);
  }

  /**
   * A state frame of `tick` came, or a welcome that names it.
   * @param {number} tick
   * @param {number} now milliseconds of any clock that never falls, as `performance.now()`
   */
  frame(tick, now) {
    if (tick < this.#lastTick) this.#restart();
    this.#lastTick = tick;
    this.#advance(now);
    this.#arrivals[this.#nArrivals++ % FRAMES] = tick - now * this.#perMs;
    const n = Math.min(this.#nArrivals, FRAMES);
    this.#ordered.set(this.#arrivals);
    this.#ordered.subarray(0, n).sort();
    this.#earliest = this.#ordered[n - 1];
    this.#playable = this.#ordered[Math.trunc(LATE * n)];
  }

  /**
   * The server answered a ping of `sentAt` when it was at `tick`.
   * @param {number} sentAt milliseconds
   * @param {number} tick
   * @param {number} now milliseconds
   */
  pong(sentAt, tick, now) {
    const rtt = now - sentAt;
    if (!(rtt >= 0 && rtt < Infinity)) throw new RangeError(`a pong at ${now} can't answer a ping of ${sentAt}`);
    this.#smooth(rtt);
    this.#advance(now);
    // A tick's number holds until the next: on average half of it has passed.
    this.#roundTrips.push([rtt, tick + 0.5 + (rtt / 2 - now) * this.#perMs]);
    if (this.#roundTrips.length > PONGS) this.#roundTrips.shift();
    // What took long waited on one of the two ways, nobody knows which (RFC 5905, section 10).
    this.#middle = this.#roundTrips.reduce((best, one) => (one[0] < best[0] || (one[0] === best[0] && one[1] < best[1]) ? one : best))[1];
  }

  /** @param {number} rtt milliseconds */
  #smooth(rtt) {
    if (Number.isNaN(this.rttMs)) {
      this.rttMs = rtt;
      this.rttDeviationMs = rtt / 2;
      return;
    }
    this.rttDeviationMs += (Math.abs(rtt - this.rttMs) - this.rttDeviationMs) / 4;
    this.rttMs += (rtt - this.rttMs) / 8;
  }

  /**
   * Run both readings up to here, before what they aim at changes.
   * @param {number} now milliseconds
   */
  #advance(now) {
    this.tick(now);
    this.playout(now);
  }

  /** How much later than the earliest frames all but the latest few come; NaN before the first. */
  get jitterMs() {
    return this.#nArrivals > 0 ? (this.#earliest - this.#playable) / this.#perMs : NaN;
  }

  /**
   * The tick that the server is at; NaN before the first frame. Of a `now` before an earlier one: what that gave.
   * @param {number} now milliseconds
   */
  tick(now) {
    // Frames prove that a tick has been, round trips tell how long ago.
    return this.#tick.at(now, Math.max(this.#middle, this.#earliest));
  }

  /**
   * The tick whose frame is here by now, but for one in twenty; NaN before the first frame.
   * @param {number} now milliseconds
   */
  playout(now) {
    return this.#playout.at(now, this.#playable);
  }
}

/** A clock that is led to `now * rate + aim` without ever falling. */
class Reading {
  #now = NaN;
  #value = NaN;

  /** @param {number} rate ticks a millisecond */
  constructor(rate) {
    this.rate = rate;
  }

  /**
   * @param {number} now milliseconds
   * @param {number} aim ticks
   */
  at(now, aim) {
    if (aim === -Infinity) return NaN;
    const wanted = now * this.rate + aim;
    if (Number.isNaN(this.#value)) {
      this.#now = now;
      this.#value = wanted;
      return wanted;
    }
    const passed = Math.max(0, now - this.#now) * this.rate;
    this.#now = Math.max(now, this.#now);
    const off = wanted - (this.#value + passed);
    const behind = MAX_BEHIND_S * 1000 * this.rate;
    if (passed > 0 && off > behind) this.#value = wanted;
    else if (passed > 0) {
      // Far ahead it stands still: what it should show next hasn't come, and it has shown all before.
      const slowest = off < -behind ? -passed : -SLEW * passed;
      this.#value += passed + Math.min(Math.max(off, slowest), SLEW * passed);
    }
    return this.#value;
  }
}
