// A panel: the curves of one quantity, drawn by uPlot, with errors, markers, limits and a readout.

const NUM_LOOKS = 8;
const NUM_SHAPES = 6;

/** The outline of a marker around a point, as lists of corners; a circle has none. */
const CORNERS = [
  null,
  [[-1, -1], [1, -1], [1, 1], [-1, 1]],
  [[0, -1.25], [1.15, 0.85], [-1.15, 0.85]],
  [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
  [[0, 1.25], [1.15, -0.85], [-1.15, -0.85]],
  [[-0.4, -1.3], [0.4, -1.3], [0.4, -0.4], [1.3, -0.4], [1.3, 0.4], [0.4, 0.4], [0.4, 1.3], [-0.4, 1.3], [-0.4, 0.4], [-1.3, 0.4], [-1.3, -0.4], [-0.4, -0.4]],
];

/** An element with attributes and children; text goes in as text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function toggleButton(text, pressed, title, act) {
  const button = element("button", { type: "button", class: "tool", "aria-pressed": String(pressed), title }, text);
  button.addEventListener("click", () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(now));
    act(now);
  });
  return button;
}

/** Line and marker of a run, as in the panels. */
function swatch(run) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const shape = (tag, attributes) => {
    const made = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    svg.append(made);
  };
  svg.setAttribute("width", 30);
  svg.setAttribute("height", 12);
  shape("path", { class: "line", d: "M0 6H30", "stroke-dasharray": run.prediction ? "5 3.5" : "none" });
  const corners = CORNERS[run.look % NUM_SHAPES];
  if (!run.prediction && corners) {
    shape("polygon", { class: "mark", points: corners.map(([x, y]) => `${15 + 4 * x},${6 + 4 * y}`).join(" ") });
  } else if (!run.prediction) {
    shape("circle", { class: "mark", cx: 15, cy: 6, r: 4.3 });
  }
  return svg;
}

const swatchClasses = (run) => ["swatch", `look-${run.look % NUM_LOOKS}`, run.prediction ? "predicted" : "measured"];

function swatchElement(run) {
  const span = element("span", { class: swatchClasses(run).join(" "), "aria-hidden": "true" });
  span.append(swatch(run));
  return span;
}

/** Position of the entry of an ascending list that is nearest to a value. */
function nearest(list, value) {
  let [low, high] = [0, list.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle;
    else high = middle;
  }
  return value - list[low] < list[high] - value ? low : high;
}

class Panel {
  constructor(data, spec, page) {
    this.data = data;
    this.spec = spec;
    this.page = page;
    this.logX = false;
    this.logY = spec.log_y;
    this.drawn = 0;
    this.curves = spec.curves.map((curve) => ({ ...curve, look: data.runs[curve.run], shown: true }));
    // Predictions last: they lie on top of what they predict.
    this.curves.sort((a, b) => a.look.prediction - b.look.prediction);
    this.build();
  }

  build() {
    const { spec } = this;
    this.reset = element("button", { type: "button", class: "tool", disabled: "", title: "Show everything again (double click, Escape)", onclick: () => this.page.zoom(null) }, "reset");
    const tools = element("div", { class: "tools" },
      toggleButton("log y", this.logY, "Logarithmic vertical axis", (on) => { this.logY = on; this.draw(); }),
      toggleButton("log x", this.logX, "Logarithmic horizontal axis; step 0 has no place on it", (on) => { this.logX = on; this.draw(); }),
      this.reset);
    const title = element("h3", {}, spec.title, " ", element("small", {}, spec.unit));
    this.plot = element("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${spec.title}: chart. Arrow keys move the cursor, Escape resets the zoom.`, onkeydown: (event) => this.key(event) });
    this.where = element("div", { class: "where" });
    this.curves.forEach((curve) => { curve.button = this.legend(curve); });
    const listed = this.curves.toSorted((a, b) => a.run - b.run).map((curve) => curve.button);
    const limits = this.spec.limits.map((limit) => element("div", { class: "curve limit" }, element("span", { class: "swatch" }), element("span", {}, limit.label)));
    const readout = element("div", { class: "readout" }, this.where, element("div", { class: "curves" }, ...listed, ...limits));
    this.root = element("figure", { class: spec.name === "train/loss" ? "panel wide" : "panel" },
      element("header", {}, title, tools, element("p", {}, spec.description)), this.plot, readout);
  }

  legend(curve) {
    curve.text = element("span", { class: "value" });
    return element("button", { type: "button", class: "curve", "aria-pressed": "true", title: `Show or hide: ${curve.look.name}`, onclick: () => this.show(curve, !curve.shown) },
      swatchElement(curve.look), element("span", { class: "name" }, curve.look.name), curve.text);
  }

  show(curve, shown) {
    curve.shown = shown;
    curve.button.setAttribute("aria-pressed", String(shown));
    this.chart.setSeries(this.curves.indexOf(curve) + 1, { show: shown });
    // uPlot keeps the vertical range where a series is hidden; ours depends on what is shown.
    this.setWindow();
  }

  showRun(run, shown) {
    this.curves.filter((curve) => curve.run === run).forEach((curve) => this.show(curve, shown));
  }

  /** What lies on the axes as they are: without points that a logarithmic axis has no place for. */
  prepare(curve) {
    const x = this.data.axes[curve.axis][this.page.abscissa];
    const keep = [...x.keys()].filter((index) => !this.logX || x[index] > 0);
    const positive = (value) => (value == null || (this.logY && value <= 0) ? null : value);
    curve.x = keep.map((index) => x[index]);
    curve.y = keep.map((index) => positive(curve.value[index]));
    curve.low = curve.errors?.low && keep.map((index) => curve.errors.low[index]);
    curve.high = curve.errors?.high && keep.map((index) => curve.errors.high[index]);
    curve.source = keep;
  }

  /** Smallest and largest abscissa of all curves. */
  extent() {
    const xs = this.curves.flatMap((curve) => (curve.x.length ? [curve.x[0], curve.x[curve.x.length - 1]] : []));
    const [low, high] = [Math.min(...xs), Math.max(...xs)];
    return high > low ? [low, high] : [this.logX ? 0.5 : 0, Number.isFinite(high) ? high + 1 : 1];
  }

  /** The range of the abscissa that is shown: what was zoomed to, as far as this axis can show it. */
  window() {
    const [low, high] = this.extent();
    const zoomed = this.page.window;
    if (!zoomed) return [low, high];
    return this.logX ? [Math.max(zoomed[0], low), Math.max(zoomed[1], low * 1.01)] : zoomed;
  }

  /** The range of values with their errors and the limits, over what is shown. */
  range() {
    const [from, to] = this.window();
    let [low, high] = [Infinity, -Infinity];
    const include = (value) => {
      if (value == null || (this.logY && value <= 0)) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    };
    for (const curve of this.curves.filter((candidate) => candidate.shown)) {
      curve.x.forEach((x, index) => {
        if (x < from || x > to || curve.y[index] == null) return;
        include(curve.y[index]);
        if (curve.low) [curve.low[index], curve.high[index]].forEach(include);
      });
    }
    this.spec.limits.forEach((limit) => include(limit.value));
    if (low > high) return this.logY ? [0.1, 10] : [0, 1];
    if (this.logY) {
      const pad = Math.max((high / low) ** 0.05, 1.03);
      return [low / pad, high * pad];
    }
    const pad = 0.06 * (high - low) || 0.5 * Math.abs(high) || 1;
    // Zero is worth showing where it is near.
    return [low >= 0 && low < 0.4 * high ? 0 : low - pad, high + pad];
  }

  setWindow() {
    const [min, max] = this.window();
    this.reset.disabled = !this.page.window;
    this.chart.setScale("x", { min, max });
  }

  draw() {
    this.chart?.destroy();
    this.curves.forEach((curve) => {
      curve.errors ??= { low: curve.low, high: curve.high };
      this.prepare(curve);
      curve.colour = this.page.colour(curve.look);
    });
    const tables = this.curves.map((curve) => [curve.x, curve.y]);
    this.chart = new uPlot(this.options(), uPlot.join(tables), this.plot);
    this.setWindow();
    this.read();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (this.chart && width > 0 && (width !== this.chart.width || height !== this.chart.height)) this.chart.setSize({ width, height });
  }

  options() {
    const { page } = this;
    return {
      width: Math.max(this.plot.clientWidth, 120),
      height: Math.max(this.plot.clientHeight, 120),
      legend: { show: false },
      padding: [10, 18, 0, 0],
      scales: {
        x: { time: false, distr: this.logX ? 3 : 1, range: () => this.window() },
        y: { distr: this.logY ? 3 : 1, range: () => this.range() },
      },
      axes: [this.axis("x"), this.axis("y")],
      series: [{}, ...this.curves.map((curve) => this.line(curve))],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 5 },
        bind: { dblclick: () => () => page.zoom(null) },
        points: { size: 8, width: 1.5, stroke: page.paper(), fill: (chart, index) => this.curves[index - 1].colour },
        sync: { key: "stepscope", scales: ["x", null], setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      },
      hooks: {
        drawAxes: [(chart) => { this.drawLimits(chart); this.drawErrors(chart); }],
        draw: [(chart) => { this.drawMarks(chart); this.drawn = this.curves.filter((curve) => curve.y.some((y) => y != null)).length; page.report(); }],
        setCursor: [() => this.read()],
        setSelect: [(chart) => this.select(chart)],
      },
    };
  }

  axis(key) {
    const { page } = this;
    const isX = key === "x";
    const isLog = isX ? this.logX : this.logY;
    const most = (chart) => Math.max(2, Math.floor((isX ? chart.bbox.width / 84 : chart.bbox.height / 30) / uPlot.pxRatio));
    const text = (value, increment) => (!isX && this.spec.percent ? linearTick(100 * value, 100 * increment) + " %" : isLog ? logTick(value) : linearTick(value, increment));
    return {
      scale: key,
      font: `12px ${page.font}`,
      stroke: page.ink("--muted"),
      grid: { stroke: page.ink("--grid"), width: 1 },
      ticks: { show: false },
      gap: 6,
      label: isX ? page.abscissa : undefined,
      labelFont: `12px ${page.font}`,
      labelSize: 18,
      labelGap: 0,
      size: isX ? 24 : (chart, values) => 12 + Math.max(24, ...(values ?? []).map((value) => 7 * value.length)),
      splits: (chart, axis, low, high) => (isLog ? logTicks(low, high, most(chart)) : linearTicks(low, high, most(chart)).ticks),
      filter: (chart, splits) => splits,
      values: (chart, splits) => splits.map((value) => text(value, splits.length > 1 ? splits[1] - splits[0] : Math.abs(value) || 1)),
    };
  }

  line(curve) {
    const { shape } = this.spec;
    // Hundreds of noisy readings would hide what they lie on.
    const dense = curve.x.length > 300 && shape === "line" && !curve.look.prediction && curve.errors.low;
    const paths = { steps: uPlot.paths.stepped({ align: 1 }), points: () => null, line: uPlot.paths.linear() };
    return {
      show: curve.shown,
      stroke: dense ? this.page.fade(curve.colour, 0.55) : curve.colour,
      width: dense ? 1 : curve.look.prediction ? 1.75 : 2,
      dash: curve.look.prediction ? [7, 5] : undefined,
      paths: paths[shape],
      points: { show: false },
    };
  }

  /** Runs a drawing with the canvas clipped to the plotting area, and so many pixels around it. */
  clipped(chart, around, drawing) {
    const { ctx, bbox } = chart;
    const more = around * uPlot.pxRatio;
    ctx.save();
    // What uPlot set for its last curve still holds.
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.rect(bbox.left - more, bbox.top - more, bbox.width + 2 * more, bbox.height + 2 * more);
    ctx.clip();
    drawing(ctx, uPlot.pxRatio, bbox);
    ctx.restore();
  }

  drawLimits(chart) {
    this.clipped(chart, 0, (ctx, ratio, bbox) => {
      for (const limit of this.spec.limits) {
        const y = chart.valToPos(limit.value, "y", true);
        ctx.strokeStyle = this.page.ink("--ink");
        ctx.lineWidth = ratio;
        ctx.setLineDash([1.5 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
      }
    });
  }

  /** A short text over the curves, kept apart from them by a rim of paper. */
  write(ctx, ratio, text, [x, y], align, colour) {
    ctx.font = `${11 * ratio}px ${this.page.font}`;
    ctx.textAlign = align;
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * ratio;
    ctx.strokeStyle = this.page.paper();
    ctx.strokeText(text, x, y);
    ctx.fillStyle = colour;
    ctx.fillText(text, x, y);
  }

  /** Bands between the ends of the errors; a bar where a reading has no neighbour. */
  drawErrors(chart) {
    this.clipped(chart, 0, (ctx, ratio) => {
      const floor = this.range()[0];
      const place = (curve, index, end) => [
        chart.valToPos(curve.x[index], "x", true),
        chart.valToPos(this.logY ? Math.max(curve[end][index], floor / 10) : curve[end][index], "y", true),
      ];
      for (const curve of this.curves.filter((candidate) => candidate.shown && candidate.low)) {
        ctx.fillStyle = ctx.strokeStyle = curve.colour;
        ctx.lineWidth = 1.25 * ratio;
        for (const part of this.parts(curve)) {
          ctx.globalAlpha = part.length > 300 ? 0.07 : 0.15;
          if (part.length > 1 && this.spec.shape !== "points") {
            const corners = [...part.map((index) => place(curve, index, "low")), ...part.toReversed().map((index) => place(curve, index, "high"))];
            ctx.beginPath();
            corners.forEach(([x, y], corner) => (corner ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
            ctx.fill();
          } else {
            ctx.globalAlpha = 0.5;
            for (const index of part) {
              ctx.beginPath();
              ctx.moveTo(...place(curve, index, "low"));
              ctx.lineTo(...place(curve, index, "high"));
              ctx.stroke();
            }
          }
        }
      }
    });
  }

  /** Stretches of readings that have errors, without gaps. */
  parts(curve) {
    const parts = [[]];
    curve.y.forEach((y, index) => {
      if (y != null && curve.low[index] != null) parts[parts.length - 1].push(index);
      else if (parts[parts.length - 1].length) parts.push([]);
    });
    return parts.filter((part) => part.length);
  }

  drawMarks(chart) {
    this.clipped(chart, 5, (ctx, ratio, bbox) => {
      for (const curve of this.curves.filter((candidate) => candidate.shown)) {
        const places = curve.x.map((x, index) => (curve.y[index] == null ? null : [chart.valToPos(x, "x", true), chart.valToPos(curve.y[index], "y", true)])).filter(Boolean);
        const end = curve.look.diverged ? places.pop() : null;
        if (!curve.look.prediction) this.spaced(places, curve, ratio).forEach((place) => this.mark(ctx, place, curve, ratio));
        if (end) this.markEnd(ctx, end, curve, ratio, bbox);
      }
    });
  }

  /** Every reading of a sparse curve; of a dense one a marker now and then, so that colour is not the only cue. */
  spaced(places, curve, ratio) {
    if (this.spec.shape === "points" || !places.length) return places;
    const sparse = places.length <= 60;
    let next = sparse ? -Infinity : places[0][0] + (30 + 23 * (curve.look.look % 5)) * ratio;
    return places.filter(([x]) => {
      if (x < next) return false;
      next = x + (sparse ? 11 : 130) * ratio;
      return true;
    });
  }

  mark(ctx, [x, y], curve, ratio) {
    const size = 3.1 * ratio;
    const corners = CORNERS[curve.look.look % NUM_SHAPES];
    ctx.fillStyle = curve.colour;
    ctx.strokeStyle = this.page.paper();
    ctx.lineWidth = ratio;
    ctx.beginPath();
    if (corners) corners.forEach(([dx, dy], corner) => (corner ? ctx.lineTo(x + size * dx, y + size * dy) : ctx.moveTo(x + size * dx, y + size * dy)));
    else ctx.arc(x, y, 1.1 * size, 0, 2 * Math.PI);
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  }

  markEnd(ctx, [x, y], curve, ratio, bbox) {
    const size = 5 * ratio;
    ctx.strokeStyle = curve.colour;
    ctx.lineWidth = 2.25 * ratio;
    ctx.beginPath();
    for (const [dx, dy] of [[1, 1], [1, -1]]) {
      ctx.moveTo(x - size * dx, y - size * dy);
      ctx.lineTo(x + size * dx, y + size * dy);
    }
    ctx.stroke();
    const roomAtRight = x < bbox.left + bbox.width - 70 * ratio;
    const place = [x + (roomAtRight ? 2 : -2) * size, Math.max(y + 4 * ratio, bbox.top + 11 * ratio)];
    this.write(ctx, ratio, "diverged", place, roomAtRight ? "left" : "right", curve.colour);
  }

  select(chart) {
    const { left, width } = chart.select;
    if (width < 5) return;
    const ends = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.page.zoom(ends);
  }

  /** Writes the readings at the cursor, or the last ones, beside the names. */
  read() {
    const chart = this.chart;
    if (!chart) return;
    const index = chart.cursor.left >= 0 ? chart.cursor.idx : null;
    const at = index == null ? null : chart.data[0][index];
    this.where.textContent = at == null ? "last readings" : `${this.page.abscissa} ${Number(at.toPrecision(6))}`;
    for (const curve of this.curves) {
      const found = at == null ? curve.y.findLastIndex((y) => y != null) : nearest(curve.x, at);
      curve.text.replaceChildren(...this.readingAt(curve, found, at));
    }
  }

  readingAt(curve, index, at) {
    const x = curve.x[index];
    if (x === undefined) return ["–"];
    const spacing = curve.x.length > 1 ? (curve.x[curve.x.length - 1] - curve.x[0]) / (curve.x.length - 1) : 1;
    if (at != null && Math.abs(at - x) > 1.01 * spacing) return [element("small", {}, at > x ? "ended" : "not begun")];
    const source = curve.source[index];
    if (curve.value[source] == null) {
      const reason = curve.unresolved?.[source] ?? "no value";
      return [element("small", { title: reason }, `unresolved: ${reason}`)];
    }
    const text = reading(this.spec, curve.value[source], curve.errors.low?.[source], curve.errors.high?.[source]);
    return at != null && at !== x ? [element("small", {}, `at ${Number(x.toPrecision(6))}: `), text] : [text];
  }

  key(event) {
    const { chart } = this;
    const last = chart.data[0].length - 1;
    const now = chart.cursor.left >= 0 ? chart.cursor.idx ?? 0 : -1;
    const stride = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1;
    const target = { ArrowLeft: now < 0 ? last : now - stride, ArrowRight: now + stride, Home: 0, End: last }[event.key];
    if (event.key === "Escape") {
      this.page.zoom(null);
      chart.setCursor({ left: -10, top: -10 }, true, true);
    } else if (target !== undefined) {
      event.preventDefault();
      const x = chart.data[0][Math.min(Math.max(target, 0), last)];
      chart.setCursor({ left: chart.valToPos(x, "x"), top: chart.over.clientHeight / 2 }, true, true);
    }
  }
}
