"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const run = JSON.parse(byId("run").textContent);
  const sources = [...document.querySelectorAll("script.episode")];
  const view = run.presentation ?? {};
  const grid = view.kind === "grid" && view.cells?.length ? view : null;
  const rate = (view.steps_per_second > 0 ? view.steps_per_second : 10) * (run.speed ?? 1);
  const KINDS = { "<f8": Float64Array, "<f4": Float32Array, "<i8": BigInt64Array, "<u8": BigUint64Array, "<i4": Int32Array, "<u4": Uint32Array, "<i2": Int16Array, "<u2": Uint16Array, "|i1": Int8Array, "|u1": Uint8Array, "|b1": Uint8Array };
  const state = { index: -1, episode: null, at: 0, playing: false, speed: 1, loading: 0 };
  const heads = sources.map((source) => JSON.parse(source.dataset.facts));

  /* -- data --------------------------------------------------------------------------- */

  async function column(packed) {
    if (packed.json) return { row: (i) => packed.json[i], count: packed.json.length };
    const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const values = new KINDS[packed.dtype](await new Response(stream).arrayBuffer());
    const width = packed.shape.slice(1).reduce((a, b) => a * b, 1);
    const number = (v) => (typeof v === "bigint" ? Number(v) : packed.dtype === "|b1" ? v === 1 : v);
    const row = (i) => (packed.shape.length === 1 ? number(values[i]) : Array.from(values.subarray(i * width, (i + 1) * width), number));
    return { row, count: packed.shape[0], shape: packed.shape.slice(1), dtype: packed.dtype, raw: (i) => values.subarray(i * width, (i + 1) * width) };
  }

  async function open(index) {
    const turn = ++state.loading;
    const packed = JSON.parse(sources[index].textContent);
    const columns = {};
    for (const [name, value] of Object.entries(packed)) columns[name] = await column(value);
    if (turn !== state.loading) return;
    const returns = [0];
    for (let i = 0; i < columns.reward.count; i++) {
      const earned = columns.reward.row(i);
      returns.push(returns[i] + (typeof earned === "number" ? earned : 0));
    }
    Object.assign(state, { index, at: 0, episode: { columns, returns, length: columns.reward.count, last: columns.observation.count - 1 } });
    byId("seek").max = String(state.episode.length);
    for (const [i, row] of [...byId("episodes").rows].entries()) row.setAttribute("aria-selected", String(i === index));
    draw();
  }

  /* -- drawing ------------------------------------------------------------------------ */

  const canvas = byId("canvas");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function draw() {
    const { episode, at } = state;
    if (!episode) return;
    const dpr = devicePixelRatio || 1;
    const { clientWidth: w, clientHeight: h } = canvas;
    canvas.width = Math.max(1, w * dpr);
    canvas.height = Math.max(1, h * dpr);
    const g = canvas.getContext("2d");
    g.setTransform(dpr, 0, 0, dpr, 0, 0);
    const shown = Math.min(at, episode.last);
    const observations = episode.columns.observation;
    const isPicture = observations.dtype === "|u1" && observations.shape.length >= 2 && observations.shape[0] >= 16;
    if (grid) drawGrid(g, w, h, observations, shown);
    else if (isPicture) drawPicture(g, w, h, observations, shown);
    else drawNumbers(g, w, h, observations.row(shown));
    canvas.setAttribute("aria-label", `episode ${heads[state.index].episode}, step ${at} of ${episode.length}`);
    byId("seek").value = String(at);
    byId("at").textContent = `${at} / ${episode.length}`;
    byId("play").textContent = state.playing ? "❚❚" : "▶";
    byId("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
    facts();
  }

  const place = (observation) => Math.floor((Array.isArray(observation) ? observation[0] : observation) / (grid.observation?.divisor || 1));

  function drawGrid(g, w, h, observations, at) {
    const rows = grid.cells.length, columns = grid.cells[0].length;
    const size = Math.min((w - 24) / columns, (h - 24) / rows);
    const left = (w - size * columns) / 2, top = (h - size * rows) / 2;
    const centre = (cell) => [left + ((cell % columns) + 0.5) * size, top + (Math.floor(cell / columns) + 0.5) * size];
    grid.cells.forEach((line, r) => [...line].forEach((kind, c) => {
      const x = left + c * size, y = top + r * size;
      g.fillStyle = kind === "#" ? colour("wall") : colour("panel");
      g.fillRect(x, y, size, size);
      g.strokeStyle = colour("line");
      g.lineWidth = 1;
      g.strokeRect(x, y, size, size);
      if (kind === "G") star(g, x + size / 2, y + size / 2, size * 0.36);
      if (kind === "S") ring(g, x + size / 2, y + size / 2, size * 0.28);
      if (kind === "X") cross(g, x + size / 2, y + size / 2, size * 0.26);
    }));
    g.strokeStyle = colour("wall");
    g.lineWidth = Math.max(3, size / 10);
    for (const [a, b] of grid.walls ?? []) {
      const r = Math.max(Math.floor(a / columns), Math.floor(b / columns)), c = Math.max(a % columns, b % columns);
      const upright = Math.floor(a / columns) === Math.floor(b / columns);
      line(g, [left + c * size, top + r * size], upright ? [left + c * size, top + (r + 1) * size] : [left + (c + 1) * size, top + r * size]);
    }
    g.fillStyle = colour("dim");
    g.font = `${Math.max(9, size / 4)}px system-ui`;
    for (const label of grid.labels ?? []) {
      const [x, y] = centre(label.cell);
      g.fillText(label.text, x - size * 0.42, y - size * 0.2);
    }
    const way = [];
    for (let i = Math.max(0, at - 24); i <= at; i++) way.push(centre(place(observations.row(i))));
    g.strokeStyle = colour("agent");
    g.lineWidth = Math.max(2, size / 10);
    g.lineCap = "round";
    for (let i = 1; i < way.length; i++) {
      g.globalAlpha = 0.15 + (0.55 * i) / way.length;
      line(g, way[i - 1], way[i]);
    }
    g.globalAlpha = 1;
    const here = way[way.length - 1];
    const value = observations.row(at);
    const context = (Array.isArray(value) ? value[0] : value) % (grid.observation?.divisor || 1);
    for (const marker of grid.markers?.[context] ?? []) {
      const [x, y] = marker.cell === null ? here : centre(marker.cell);
      g.strokeStyle = colour(marker.kind === "passenger" ? "marker" : "goal");
      g.lineWidth = Math.max(2, size / 14);
      g.strokeRect(x - size * 0.4, y - size * 0.4, size * 0.8, size * 0.8);
    }
    g.fillStyle = colour("agent");
    g.beginPath();
    g.arc(here[0], here[1], size * 0.28, 0, 7);
    g.fill();
  }

  function line(g, a, b) { g.beginPath(); g.moveTo(...a); g.lineTo(...b); g.stroke(); }
  function ring(g, x, y, r) { g.strokeStyle = colour("dim"); g.lineWidth = Math.max(2, r / 4); g.beginPath(); g.arc(x, y, r, 0, 7); g.stroke(); }
  function cross(g, x, y, r) { g.strokeStyle = colour("hazard"); g.lineWidth = Math.max(2, r / 2.5); line(g, [x - r, y - r], [x + r, y + r]); line(g, [x - r, y + r], [x + r, y - r]); }
  function star(g, x, y, radius) {
    g.fillStyle = colour("goal");
    g.beginPath();
    for (let k = 0; k < 10; k++) {
      const r = k % 2 ? radius * 0.45 : radius;
      g.lineTo(x + Math.sin((k * Math.PI) / 5) * r, y - Math.cos((k * Math.PI) / 5) * r);
    }
    g.fill();
  }

  function drawPicture(g, w, h, observations, at) {
    const [high, wide, depth = 1] = observations.shape;
    const raw = observations.raw(at), image = new ImageData(wide, high);
    for (let i = 0; i < high * wide; i++) {
      for (let c = 0; c < 3; c++) image.data[i * 4 + c] = raw[i * depth + (depth >= 3 ? c : 0)];
      image.data[i * 4 + 3] = 255;
    }
    const small = new OffscreenCanvas(wide, high);
    small.getContext("2d").putImageData(image, 0, 0);
    const scale = Math.min(w / wide, h / high);
    g.imageSmoothingEnabled = scale < 2;
    g.drawImage(small, (w - wide * scale) / 2, (h - high * scale) / 2, wide * scale, high * scale);
  }

  function drawNumbers(g, w, h, value) {
    g.font = "14px system-ui";
    g.fillStyle = colour("text");
    const numbers = typeof value === "number" ? [value] : Array.isArray(value) && value.every((v) => typeof v === "number") ? value : null;
    if (!numbers) {
      JSON.stringify(value, null, 1).slice(0, 4000).split("\n").forEach((text, i) => { g.fillText(text, 20, 30 + i * 18); });
      return;
    }
    const shown = numbers.slice(0, Math.floor((h - 20) / 22));
    const scale = Math.max(1, ...shown.map((v) => (Number.isFinite(v) ? Math.abs(v) : 0)));
    const step = Math.min(48, (h - 20) / shown.length);
    shown.forEach((v, i) => {
      const y = 20 + (i + 0.5) * step;
      g.fillStyle = colour("dim");
      g.fillText(String(view.labels?.[i] ?? `[${i}]`), 20, y + 5);
      g.fillStyle = colour("agent");
      const reach = ((Number.isFinite(v) ? v : 0) / scale) * w * 0.22;
      g.fillRect(w * 0.52 + Math.min(0, reach), y - step * 0.3, Math.abs(reach), step * 0.6);
      g.fillStyle = colour("text");
      g.fillText(text(v), w * 0.8, y + 5);
    });
  }

  const text = (v) => (typeof v === "number" ? (Number.isInteger(v) ? String(v) : String(Number(v.toPrecision(5)))) : Array.isArray(v) ? v.slice(0, 24).map(text).join(", ") : v === null || v === undefined ? "–" : typeof v === "object" ? JSON.stringify(v) : String(v));
  // A Discrete space need not begin at 0; Q-values and names do.
  const firstAction = run.action_space?.start ?? 0;
  const actionName = (a) => (typeof a === "number" && view.actions?.[a - firstAction]?.name) || text(a);

  function facts() {
    const { episode, at } = state;
    const { columns } = episode;
    const rows = [];
    const here = columns.observation.shape?.length > 1 ? null : columns.observation.row(Math.min(at, episode.last));
    if (here !== null) rows.push(["observation", text(here)]);
    if (at < episode.length) {
      rows.push(["action", actionName(columns.action.row(at))], ["reward", text(columns.reward.row(at))]);
      for (const name of Object.keys(columns)) if (!["observation", "action", "reward", "q_values"].includes(name)) rows.push([name, text(columns[name].row(at))]);
    } else rows.push(["ended", heads[state.index].ending]);
    rows.push(["return so far", text(episode.returns[at])]);
    for (const name of ["seed", "epsilon", "stage"]) if (heads[state.index][name] !== null) rows.push([name, text(heads[state.index][name])]);
    byId("facts").replaceChildren(...rows.flatMap(([name, value]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = value;
      return [dt, dd];
    }));
    const q = at < episode.length && columns.q_values ? columns.q_values.row(at) : [];
    const finite = q.filter((v) => Number.isFinite(v));
    const low = Math.min(0, ...finite), high = Math.max(0, ...finite), best = Math.max(...finite);
    byId("q").replaceChildren(...q.map((v, i) => {
      const bar = document.createElement("div"), name = document.createElement("span"), track = document.createElement("span"), fill = document.createElement("i"), number = document.createElement("span");
      bar.className = v === best ? "bar best" : "bar";
      name.textContent = actionName(i + firstAction);
      fill.style.width = `${high > low && Number.isFinite(v) ? ((v - low) / (high - low)) * 100 : 0}%`;
      number.textContent = text(v);
      track.append(fill);
      bar.append(name, track, number);
      return bar;
    }));
  }

  /* -- playing ------------------------------------------------------------------------ */

  let due = 0;
  function tick(now) {
    if (!state.playing) return;
    const gap = 1000 / (rate * state.speed);
    if (now - due > 1000) due = now; // the page was hidden
    let moved = false;
    while (now >= due && state.playing) {
      due += gap;
      if (state.at >= state.episode.length) pause();
      else state.at++;
      moved = true;
    }
    if (moved) draw();
    requestAnimationFrame(tick);
  }
  function play() {
    if (!state.episode || state.playing) return;
    if (state.at >= state.episode.length) state.at = 0;
    state.playing = true;
    due = performance.now() + 1000 / (rate * state.speed);
    requestAnimationFrame(tick);
    draw();
  }
  function pause() { state.playing = false; draw(); }
  function go(to) {
    if (!state.episode) return;
    state.at = Math.max(0, Math.min(state.episode.length, to));
    draw();
  }
  function step(by) { pause(); go(state.at + by); }

  byId("name").textContent = run.name;
  byId("about").textContent = [run.env_id, run.algorithm, `${heads.length} episodes`].filter(Boolean).join(" · ");
  byId("episodes").replaceChildren(...heads.map((head, index) => {
    const row = document.createElement("tr");
    row.tabIndex = 0;
    for (const value of [head.episode, head.episode_return, head.length, head.ending]) {
      const cell = document.createElement("td");
      cell.textContent = text(value);
      row.append(cell);
    }
    row.addEventListener("click", () => { pause(); void open(index); });
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") { pause(); void open(index); } });
    return row;
  }));
  for (const speed of [0.25, 0.5, 1, 2, 4, 8, 16, 64]) byId("speed").append(new Option(`${speed}×`, String(speed), speed === 1, speed === 1));
  byId("speed").addEventListener("change", () => { state.speed = Number(byId("speed").value); });
  byId("play").addEventListener("click", () => (state.playing ? pause() : play()));
  byId("first").addEventListener("click", () => step(-state.at));
  byId("back").addEventListener("click", () => step(-1));
  byId("on").addEventListener("click", () => step(1));
  byId("seek").addEventListener("input", () => { pause(); go(Number(byId("seek").value)); });
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    draw();
  });
  addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLSelectElement || event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { " ": () => (state.playing ? pause() : play()), ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-state.at), End: () => state.episode && step(state.episode.length) };
    const key = event.target instanceof HTMLButtonElement && event.key === " " ? undefined : keys[event.key];
    if (key) { event.preventDefault(); key(); }
  });
  new ResizeObserver(() => draw()).observe(canvas);
  if (heads.length) void open(0);
})();
