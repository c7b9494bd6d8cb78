"""The page in a real browser: it draws, steers, tells numbers and comes back after a stop.

Chromium comes from the system; its GPU is software, so that what is drawn is drawn everywhere.
"""

from __future__ import annotations

import base64
import queue
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets

import horizon_ecs as hz
from horizon_ecs import demo as demo_world

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).resolve().parent.parent
START_S = 90  # kernels may have to be compiled first
WAIT_MS = 20_000
N_ENTITIES = 3_000
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip

COUNT_COLOURED = """async (png) => {
    const image = new Image();
    image.src = `data:image/png;base64,${png}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) {
        const [low, , high] = [data[i], data[i + 1], data[i + 2]].sort((a, b) => a - b);
        if (high > 120 && high - low > 60) n++;
    }
    return n;
}"""


class Demo:
    """The demo, or what else is asked for, in a process of its own."""

    def __init__(self, port: int = 0, what: tuple[str, ...] = ("demo", "--entities", str(N_ENTITIES))) -> None:
        command = [sys.executable, "-m", "horizon_ecs", *what, "--port", str(port)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, cwd=ROOT, **pipes)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Somebody has to read on, or a chatty demo would block on a full pipe.
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self._address()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _address(self) -> str:
        said = ""
        while True:
            try:
                line = self._lines.get(timeout=START_S)
            except queue.Empty:
                line = ""
            said += line
            if line == "":
                self.stop()
                pytest.fail(f"the demo told no address: {said}")
            if found := re.search(r"http://[\w.\[\]:]+:\d+", line):
                return found.group()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(browser: Any) -> Iterator[Demo]:
    demo = Demo()
    yield demo
    demo.stop()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page in a new profile; an error on it fails the test."""
    # Playwright waits by evaluating text, which the page's own policy forbids.
    context = browser.new_context(viewport={"width": 1000, "height": 700}, bypass_csp=True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_default_timeout(WAIT_MS)
    yield page
    context.close()
    assert errors == []


def _open(page: Any, demo: Demo, query: str = "") -> None:
    page.goto(f"{demo.url}/{query}")
    page.wait_for_function("window.horizon?.replica?.n > 50 && horizon.camera.scale > 0")


def _coloured(page: Any) -> int:
    """Pixels of the stage that have a colour."""
    # Playwright's own stage: what lies over the canvases is hidden for the picture.
    style = "header, aside, nav, #card, #overlay, #stick { visibility: hidden !important }"
    png = page.screenshot(style=style)
    return int(page.evaluate(COUNT_COLOURED, base64.b64encode(png).decode()))


# Pixels of the overlay on which anything is drawn, however faint.
COUNT_DRAWN = """() => {
  const canvas = document.getElementById("overlay");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let n = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0) n++;
  return n;
}"""


def _own_place(page: Any) -> dict[str, float]:
    place: dict[str, float] = page.evaluate(
        "(() => { const i = horizon.replica.indexOf(horizon.own); return horizon.motion.position(i, performance.now()); })()"
    )
    return place


@pytest.mark.parametrize(("query", "renderer"), [("?renderer=webgl", "WebGL2"), ("?renderer=canvas", "canvas")])
def test_draws_what_is_in_view(page: Any, demo: Demo, query: str, renderer: str) -> None:
    _open(page, demo, query)
    if renderer == "WebGL2" and page.evaluate("horizon.renderer") != renderer:
        pytest.skip("this browser has no WebGL2, not even in software")
    assert page.evaluate("horizon.renderer") == renderer
    page.evaluate("horizon.camera.touched = true")
    page.wait_for_timeout(500)  # until those that entered last have faded in
    in_view = page.evaluate("horizon.replica.n")
    assert _coloured(page) > 2 * in_view
    page.evaluate("document.getElementById('points').style.visibility = 'hidden'")
    assert _coloured(page) == 0


@pytest.mark.skipif(int(websockets.__version__.split(".")[0]) < 17, reason="this version of websockets takes GET only")
def test_the_admin_page_lists_sessions_and_ends_one(page: Any, demo: Demo) -> None:
    _open(page, demo)
    admin = page.context.new_page()
    admin.goto(f"{demo.url}/admin")
    admin.wait_for_selector("#health[data-state]")
    own = page.evaluate("horizon.link.client.welcome.observer")
    row = admin.locator("#sessions tr", has=admin.locator(f"td:nth-child(4):text-is('{own}')"))
    row.locator("button").click()
    row.locator("button.sure").click()
    row.wait_for(state="detached")
    page.wait_for_function("document.getElementById('status').textContent.includes('operator')")
    admin.close()


def test_points_move(page: Any, demo: Demo) -> None:
    _open(page, demo)
    page.evaluate("""() => {
        const { motion, replica } = horizon;
        window.before = new Map();
        for (let i = 0; i < replica.n; i++) before.set(replica.handle(i), motion.position(i, performance.now()));
    }""")
    page.wait_for_function("""() => {
        const { motion, replica } = horizon;
        let moved = 0;
        for (let i = 0; i < replica.n; i++) {
            const was = before.get(replica.handle(i));
            const now = motion.position(i, performance.now());
            if (was && Math.hypot(now.x - was.x, now.y - was.y) > 0.5) moved++;
        }
        return moved > 20;
    }""")


def test_arrow_keys_steer_and_the_view_changes(page: Any, demo: Demo) -> None:
    _open(page, demo)
    page.evaluate("""() => {
        const { replica } = horizon;
        window.known = new Set(Array.from({ length: replica.n }, (_, i) => replica.handle(i)));
    }""")
    place = "horizon.motion.position(horizon.replica.indexOf(horizon.own), performance.now())"
    page.wait_for_function(f"Math.abs(horizon.camera.x - {place}.x) < 1")
    before = _own_place(page)
    camera = page.evaluate("horizon.camera.x")
    page.keyboard.down("ArrowRight")
    page.wait_for_function(f"{place}.x > {before['x'] + 30}")
    page.wait_for_function(f"horizon.camera.x > {camera + 20}")
    # Others have come into view, which only the server could tell.
    page.wait_for_function(
        "Array.from({ length: horizon.replica.n }, (_, i) => horizon.replica.handle(i)).some((h) => !known.has(h))"
    )
    page.keyboard.up("ArrowRight")
    after = _own_place(page)
    assert after["x"] > before["x"] + 20
    assert abs(after["y"] - before["y"]) < 0.5 * (after["x"] - before["x"])


def test_the_panel_tells_numbers(page: Any, demo: Demo) -> None:
    _open(page, demo)
    names = [
        "tick_ms",
        "tick_ms_p99",
        "in_view",
        "entities",
        "observers",
        "updates",
        "bytes",
        "bytes_per_update",
        "ping",
        "tick",
        "fps",
    ]
    for name in names:
        page.wait_for_function(
            f"/^[\\d.,]+( k?M?B)?$/.test(document.querySelector('[data-number={name}]').textContent)"
        )
    shown = {name: page.locator(f"[data-number={name}]").text_content() for name in names}
    assert int(shown["entities"].replace(",", "")) == pytest.approx(
        N_ENTITIES, rel=0.05
    )  # ships wear out and are replaced
    assert 0.3 < float(shown["bytes_per_update"]) < 12
    assert page.locator("#legend tr").count() >= 2
    assert page.locator("#status").text_content().strip() == "Live"


def test_the_panel_tells_where_the_bytes_go(page: Any, demo: Demo) -> None:
    _open(page, demo)
    page.wait_for_function("document.querySelectorAll('#spent div').length >= 4")
    names = page.locator("#spent dt").all_text_contents()
    assert names[0].startswith("Channel")
    assert "Come and go" in names
    shares = page.evaluate("[...document.querySelectorAll('#shares i')].map((part) => parseFloat(part.style.width))")
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert page.evaluate("horizon.replica.spent.total === 8 * horizon.replica.counters.bytes")


def test_the_bytes_are_told_by_field_on_demand(page: Any, demo: Demo) -> None:
    _open(page, demo)
    assert page.evaluate("horizon.replica.spent.fields === null")
    page.click("#by-field")
    page.wait_for_function("[...document.querySelectorAll('#spent dt')].some((dt) => dt.textContent === 'Position.x')")
    names = page.locator("#spent dt").all_text_contents()
    assert "Position.y" in names
    assert not any(name.startswith("Channel") for name in names)
    page.click("#by-field")
    page.wait_for_function("document.querySelector('#spent dt')?.textContent.startsWith('Channel')")
    assert page.evaluate("horizon.replica.spent.fields === null")


def test_layers_tell_their_rates_and_those_received(page: Any, demo: Demo) -> None:
    _open(page, demo)
    page.wait_for_function("horizon.panel.received.hz.some((hz) => hz > 0)")
    page.wait_for_function("document.querySelectorAll('#legend tr').length === 4")
    rows = "[...document.querySelectorAll('#legend tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    page.wait_for_function(f"{rows}.every(([rate, , received]) => / Hz$/.test(rate) && /^[\\d.–]+$/.test(received))")
    assert [radius for _, radius, *_ in page.evaluate(rows)] == ["150", "400", "900", "1,600"]
    # A busy machine slows observers down: what is told is the rate as it is.
    page.wait_for_function("""() => {
        const { replica, rings } = horizon;
        const told = [...document.querySelectorAll("#legend tr td:first-child")].map((cell) => parseFloat(cell.textContent));
        return rings.length === 4 && rings.every(({ kind, channel, frequency }) => {
            const at = kind * replica.layout.nChannels + channel;
            return told[channel] === frequency * replica.layout.period[at] / replica.period[at];
        });
    }""")


def test_radii_can_be_hidden(page: Any, demo: Demo) -> None:
    _open(page, demo)
    page.wait_for_function(f"({COUNT_DRAWN})() > 0")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shown = page.evaluate(COUNT_DRAWN)
    page.click("#rings")
    page.wait_for_function(f"({COUNT_DRAWN})() < {shown} / 2")
    assert page.get_attribute("#rings", "aria-pressed") == "false"


def test_cells_are_drawn_on_demand(page: Any, demo: Demo) -> None:
    _open(page, demo)
    page.wait_for_selector("#cells:not([hidden])")
    regions = page.evaluate("horizon.server.regions")
    assert 1 < len(regions) <= 512
    assert sum(count for *_, count, _ in regions) <= N_ENTITIES * 1.05
    page.click("#fit")
    page.evaluate("horizon.rings = []")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    clear = page.evaluate(COUNT_DRAWN)
    page.click("#cells")
    assert page.get_attribute("#cells", "aria-pressed") == "true"
    page.wait_for_function(f"({COUNT_DRAWN})() > {2 * clear}")
    page.click("#cells")
    assert page.get_attribute("#cells", "aria-pressed") == "false"


def test_pan_zoom_and_follow(page: Any, demo: Demo) -> None:
    _open(page, demo)
    assert page.evaluate("horizon.camera.follow === horizon.own")
    page.mouse.move(400, 350)
    page.mouse.down()
    page.mouse.move(300, 350, steps=4)
    page.mouse.up()
    assert page.evaluate("horizon.camera.follow === null")
    scale = page.evaluate("horizon.camera.scale")
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"horizon.camera.scale > {scale * 1.2}")
    page.get_by_role("button", name="Follow me").click()
    page.wait_for_function("horizon.camera.follow === horizon.own")
    _click_on_somebody(page)
    page.wait_for_function("horizon.camera.follow !== null && horizon.camera.follow !== horizon.own")
    page.locator("#card-values div").first.wait_for()


def _click_on_somebody(page: Any) -> None:
    """Click on an entity that isn't our own and stands clear of everything else on the screen."""
    at = page.evaluate("""() => {
        const { motion, replica, camera, own } = horizon;
        for (let i = 0; i < replica.n; i++) {
            const place = motion.position(i, performance.now());
            const { x, y } = camera.toScreen(place.x, place.y);
            if (replica.handle(i) !== own && x > 150 && x < 600 && y > 150 && y < 550) return { x, y };
        }
    }""")
    page.mouse.click(at["x"], at["y"])


def test_the_policy_that_the_server_sends_lets_the_page_work(browser: Any, demo: Demo) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.goto(demo.url)
    sync_api.expect(page.locator("#status")).to_have_text(re.compile("Live"), timeout=WAIT_MS)
    sync_api.expect(page.locator("[data-number=in_view]")).to_have_text(re.compile("^[1-9]"), timeout=WAIT_MS)
    context.close()
    assert complaints == []


def test_everything_comes_from_the_server_itself(page: Any, demo: Demo) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    _open(page, demo)
    assert len(requests) > 3
    assert all(url.startswith((demo.url, "data:")) for url in requests)


def test_a_small_screen(browser: Any, demo: Demo) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 760}, has_touch=True, is_mobile=True, bypass_csp=True
    )
    page = context.new_page()
    _open(page, demo)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#stick").is_visible()
    assert not page.locator("#spark").is_visible()
    page.locator("#fold").tap()
    assert page.locator("#spark").is_visible()
    context.close()


def test_comes_back_after_a_stop(page: Any, browser: Any) -> None:
    demo = Demo()
    try:
        _open(page, demo)
        port = demo.port
        demo.stop()
        page.wait_for_function("horizon.link.state === 'waiting'")
        page.wait_for_function("/Next attempt/.test(document.getElementById('status').textContent)")
        demo = Demo(port)
        page.wait_for_function("horizon.link.state === 'live' && horizon.replica?.n > 50")
        page.wait_for_function("document.getElementById('status').textContent.trim() === 'Live'")
    finally:
        demo.stop()


# -- a recording -------------------------------------------------------------------------------------------------------

TABLE = """() => Object.fromEntries([...horizon.replica.toMap()].map(([handle, { mask, q }]) => [String(handle), [mask, q]]))"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: Any) -> Path:
    path: Path = tmp_path_factory.mktemp("recordings") / "ships.hzr"
    world = demo_world.build(400)
    with hz.WorldRecorder(world, path, about={"title": "Ships", "bounds": [0.0, 0.0, 800.0, 800.0]}) as recorder:
        for _ in range(400):
            world.tick()
            recorder.step()
    return path


@pytest.fixture
def player(browser: Any, recorded: Path) -> Iterator[Demo]:
    player = Demo(what=("play", str(recorded)))
    yield player
    player.stop()


def _known_at(path: Path, tick: int) -> dict[str, Any]:
    """The table that the recording has at a tick, as TABLE tells the page's."""
    with hz.open_recording(path) as recording:
        replica = recording.at(tick)
    groups = [kind["groups"] for kind in recording.schema["kinds"]]
    q = [replica.q(j).tolist() for j in range(max(map(len, groups)))]
    table = {}
    for i, (handle, kind, mask) in enumerate(zip(replica.handle, replica.kind, replica.mask, strict=True)):
        values = [q[j][i][: len(group["fields"])] for j, group in enumerate(groups[kind])]
        table[str(handle)] = [int(mask), values]
    return table


def test_a_recording_is_shown_as_it_was_and_can_be_steered(page: Any, player: Demo, recorded: Path) -> None:
    page.goto(f"{player.url}/?tick=200&speed=0")
    with hz.open_recording(recorded) as recording:
        shown = max(tick for tick, _ in recording.frames(stop_tick=201))
    page.wait_for_function(f"window.horizon?.replica?.tick === {shown}")
    assert page.title() == "Ships"
    assert page.evaluate(TABLE) == _known_at(recorded, 200)
    page.get_by_text("0:03 / 0:06").wait_for()
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"horizon.replica.tick > {shown + 20}")
    page.get_by_role("button", name="Pause").click()
    page.locator("#timeline-tick").fill("100")
    page.wait_for_function("horizon.replica.tick <= 100 && horizon.replica.tick > 97")
    assert page.evaluate(TABLE) == _known_at(recorded, 100)
    page.locator("#timeline-speed").select_option("8")
    page.wait_for_function(f"horizon.replica.tick > {shown}")
    assert page.evaluate("horizon.motion.clock.tickRate") == 480


def test_what_is_live_has_no_timeline(page: Any, demo: Demo) -> None:
    _open(page, demo)
    assert page.locator("#timeline").is_hidden()
