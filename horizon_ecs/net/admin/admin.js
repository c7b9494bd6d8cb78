/**
 * The admin page: asks the server for its status and sessions, and shows them; ends a session where that is confirmed.
 * The token stays in this tab.
 */

const INTERVAL_MS = 2000;
const SURE_MS = 4000; // within which a second click ends the session
const MOST_ROWS = 500; // drawn; the filter finds the others
const TOKEN = "horizon-ecs-token";

/** @typedef {{ id: string, name: string, address: string, state: string, observer: number, entity: number, held: boolean,
 *   behind_ticks: number, waiting_bytes: number, slowdown: number }} Session */

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);
/** @param {number} value */
const whole = (value) => Math.round(value).toLocaleString("en");

/** @type {Session[]} */
let sessions = [];
/** @type {string | null} */
let sure = null; // the session whose button was clicked once
let asking = false;

/**
 * @param {string} path
 * @param {string} [method]
 * @returns {Promise<any>}
 */
async function ask(path, method = "GET") {
  const token = sessionStorage.getItem(TOKEN);
  /** @type {Record<string, string>} */
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { method, headers, cache: "no-store" });
  element("entry").hidden = answer.status !== 401;
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

async function refresh() {
  if (asking) return;
  asking = true;
  try {
    const [status, listed] = await Promise.all([ask("status"), ask("sessions")]);
    sessions = listed.sessions;
    showStatus(status);
    showSessions();
  } catch (error) {
    element("health").textContent = error instanceof Error ? error.message : String(error);
    element("health").dataset.state = "bad";
  } finally {
    asking = false;
  }
}

/** @param {any} status */
function showStatus(status) {
  const health = status.system_health;
  element("health").textContent = `health ${whole(100 * health)}%`;
  element("health").dataset.state = health > 0.75 ? "good" : health >= 0.5 ? "fair" : "bad";
  const { replication: told, connections, network, memory } = status;
  const numbers = {
    Connections: `${whole(connections.active)} of ${whole(connections.limit)}`,
    "Tick, p99": `${told.tick_ms_p99.toFixed(2)} ms`,
    "Lag, p99": `${told.lag_ms.toFixed(2)} ms`,
    "Missed ticks": whole(told.n_missed),
    Entities: whole(told.entities),
    Pairs: whole(told.followed_pairs),
    "Bytes a second": whole(network.bytes_per_s),
    "Updates a second": whole(told.updates_per_s),
    Memory: `${whole(memory.resident_mb)} MB`,
    Cores: status.cpu_cores.toFixed(2),
  };
  element("numbers").replaceChildren(
    ...Object.entries(numbers).map(([name, value]) => made("div", made("dt", name), made("dd", value))),
  );
  element("alerts").replaceChildren(
    ...status.alerts.map((/** @type {{ text: string }} */ alert) => made("li", alert.text)),
  );
}

function showSessions() {
  const wanted = element("filter").value.trim().toLowerCase();
  const found = sessions.filter((one) => `${one.name} ${one.address}`.toLowerCase().includes(wanted));
  element("n").textContent = whole(sessions.length);
  element("sessions").replaceChildren(...found.slice(0, MOST_ROWS).map(row));
  element("more").hidden = found.length <= MOST_ROWS;
  element("more").textContent = `and ${whole(found.length - MOST_ROWS)} more: filter them`;
}

/** @param {Session} one */
function row(one) {
  const button = made("button", one.id === sure ? "Sure?" : "Kick");
  button.classList.toggle("sure", one.id === sure);
  button.addEventListener("click", () => kick(one.id));
  const cells = [
    one.name || "–",
    one.address,
    one.held ? "held" : one.state,
    one.observer < 0 ? "–" : whole(one.observer),
    `${whole(one.behind_ticks)} ticks`,
    `${whole(one.waiting_bytes)} B`,
    one.slowdown > 1 ? `${one.slowdown}×` : "",
  ];
  const made_ = made("tr", ...cells.map((text) => made("td", text)), made("td", button));
  made_.dataset.session = one.id;
  return made_;
}

/** @param {string} id */
async function kick(id) {
  if (sure !== id) {
    sure = id;
    showSessions();
    setTimeout(() => {
      if (sure === id) sure = null;
      showSessions();
    }, SURE_MS);
    return;
  }
  sure = null;
  try {
    await ask(`kick?session=${encodeURIComponent(id)}`, "POST");
  } catch (error) {
    element("health").textContent = error instanceof Error ? error.message : String(error);
  }
  await refresh();
}

/**
 * An element with content; texts are texts, whatever clients call themselves.
 * @param {string} tag
 * @param {...(Node | string)} content
 */
function made(tag, ...content) {
  const it = document.createElement(tag);
  it.append(...content);
  return it;
}

element("filter").addEventListener("input", showSessions);
element("entry").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, element("token").value);
  element("token").value = "";
  refresh();
});
setInterval(refresh, INTERVAL_MS);
refresh();
