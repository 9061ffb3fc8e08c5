// A panel: the curves of one quantity with errors, markers, limits and a readout.

/** More curves than this are read one at a time, the one nearest to the cursor. */
const MOST_READINGS = 12;

/** What a name is told apart by, also when the page is brought up to date. */
const keyOf = (run) => `${run.look}:${run.role}:${run.name}`;

class Panel {
  constructor(page, spec) {
    this.page = page;
    this.hidden = new Set();
    this.logY = spec.log_y;
    this.whole = false;
    this.drawn = 0;
    this.build(spec);
    this.take(spec);
  }

  /** Takes in the curves of the page's data: at first, and whenever a live page has new ones. */
  take(spec) {
    const { runs, axes } = this.page.data;
    this.spec = spec;
    this.curves = spec.curves.map((curve) => {
      const look = runs[curve.run];
      const name = curve.number == null ? look.name : `${look.name}, ${curve.number}`;
      const errors = curve.low ? { low: curve.low, high: curve.high } : null;
      return { ...curve, errors, look, name, key: `${keyOf(look)}:${curve.number ?? ""}`, steps: axes[curve.axis], meanSteps: curve.means && axes[curve.means.axis] };
    });
    // Predictions last: they lie on top of what they predict.
    this.curves.sort((a, b) => isPrediction(a.look) - isPrediction(b.look));
    this.stale = true;
    this.list();
  }

  build(spec) {
    this.note = element("button", { type: "button", class: "tool", hidden: "", onclick: () => this.showWhole(!this.whole) });
    this.tools = element("div", { class: "tools" }, this.note,
      toggleButton("log y", this.logY, "Logarithmic vertical axis", (on) => { this.logY = on; this.draw(); }));
    this.plot = element("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${spec.title}: chart. Arrow keys move the cursor, Escape resets the zoom.`, onkeydown: (event) => this.key(event) });
    this.where = element("div", { class: "where" });
    this.legend = element("div", { class: "curves" });
    this.aside = element("div", { class: "aside" });
    const header = element("header", {}, element("h3", {}, spec.title, " ", element("small", {}, spec.unit)), this.tools, element("p", {}, spec.description));
    this.root = element("figure", { class: spec.wide ? "panel wide" : "panel", "data-name": spec.name }, header, this.plot,
      element("div", { class: "readout" }, this.where, this.legend, this.aside));
  }

  /** The curves that have a place in the list, in the order of the runs. */
  listed() {
    const other = this.page.pooling ? "member" : "pool";
    return this.curves.filter((curve) => curve.look.role !== other).sort((a, b) => a.run - b.run || (a.number ?? 0) - (b.number ?? 0));
  }

  /** The curves that are drawn; seeds are faint while they are pooled. */
  visible() {
    const { pooling, hidden } = this.page;
    return this.curves.filter((curve) => {
      curve.faint = pooling && curve.look.role === "member";
      if (this.hidden.has(curve.key) || hidden.has(keyOf(curve.look))) return false;
      // A pool takes its seeds with it.
      if (curve.faint) return !hidden.has(this.page.poolOf(curve.look));
      return pooling || curve.look.role !== "pool";
    });
  }

  /** Brings the list below the plot up to date; what stayed the same is left alone. */
  list() {
    const listed = this.listed();
    const signature = listed.map((curve) => curve.key + curve.look.shade).join("\n");
    if (signature !== this.signature) {
      this.signature = signature;
      this.buttons = new Map();
      const buttons = listed.map((curve) => {
        const text = element("span", { class: "value" });
        const button = element("button", { type: "button", class: "curve", title: `Show or hide: ${curve.name}`, onclick: () => this.toggle(curve.key) },
          swatchElement(curve.look), element("span", { class: "name" }, curve.name), text);
        this.buttons.set(curve.key, { button, text });
        return button;
      });
      const limits = this.spec.limits.map((limit) => element("div", { class: "curve limit" }, element("span", { class: "swatch" }), element("span", {}, limit.label)));
      this.legend.replaceChildren(...buttons, ...limits);
      this.aside.textContent = "";
      const lengths = new Set(this.curves.filter((curve) => curve.means).map((curve) => curve.means.length));
      if (lengths.size) this.aside.textContent = `Thin: single readings. Thick: means of ${[...lengths].sort((a, b) => a - b).join(" or ")}.`;
    }
    this.press();
  }

  press() {
    for (const [key, { button }] of this.buttons) {
      const curve = this.curves.find((candidate) => candidate.key === key);
      button.setAttribute("aria-pressed", String(Boolean(curve) && !this.hidden.has(key) && !this.page.hidden.has(keyOf(curve.look))));
    }
  }

  toggle(key) {
    if (!this.hidden.delete(key)) this.hidden.add(key);
    this.press();
    this.draw();
  }

  showWhole(whole) {
    this.whole = whole;
    this.draw();
  }

  /** What lies on the axes as they are: without points that a logarithmic axis has no place for. */
  prepare(curve) {
    const abscissa = (axis) => this.page.abscissaOf(axis);
    const positive = (value) => (value == null || (this.logY && value <= 0) ? null : value);
    const from = this.page.logX ? firstFrom(abscissa(curve.steps), Number.MIN_VALUE) : 0;
    const late = (list) => (from ? list.slice(from) : list);
    curve.from = from;
    curve.x = late(abscissa(curve.steps));
    curve.y = late(this.logY ? curve.value.map(positive) : curve.value);
    curve.low = curve.errors && late(curve.errors.low);
    curve.high = curve.errors && late(curve.errors.high);
    if (curve.means) {
      const x = abscissa(curve.meanSteps);
      const start = this.page.logX ? firstFrom(x, Number.MIN_VALUE) : 0;
      curve.means.x = x.slice(start);
      curve.means.y = curve.means.value.slice(start).map(positive);
    }
    curve.colour = this.page.colour(curve.look);
  }

  /** Smallest and largest abscissa of all curves. */
  extent() {
    const xs = this.curves.flatMap((curve) => (curve.x.length ? [curve.x[0], curve.x[curve.x.length - 1]] : []));
    const [low, high] = [Math.min(...xs), Math.max(...xs)];
    return high > low ? [low, high] : [this.page.logX ? 0.5 : 0, Number.isFinite(high) ? high + 1 : 1];
  }

  /** The range of the abscissa that is shown: what was zoomed to, as far as this axis can show it. */
  window() {
    const [low, high] = this.extent();
    const zoomed = this.page.window;
    if (!zoomed) return [low, high];
    return this.page.logX ? [Math.max(zoomed[0], low), Math.max(zoomed[1], low * 1.01)] : zoomed;
  }

  /** The range of the values in view; of their errors as much as does not flatten them. */
  range() {
    const [from, to] = this.window();
    const frame = this.whole ? null : this.spec.frame;
    let [low, high, lowest, highest] = [Infinity, -Infinity, Infinity, -Infinity];
    this.beyond = false;
    for (const curve of this.visible()) {
      const end = firstFrom(curve.x, to);
      for (let index = firstFrom(curve.x, from); index <= end && index < curve.x.length; index += 1) {
        const value = curve.y[index];
        if (value == null) continue;
        if (frame && (value < frame[0] || value > frame[1])) {
          this.beyond = true;
          continue;
        }
        if (value < low) low = value;
        if (value > high) high = value;
        const bottom = curve.low?.[index];
        if (bottom == null) continue;
        if (bottom < lowest && !(this.logY && bottom <= 0)) lowest = bottom;
        if (curve.high[index] > highest) highest = curve.high[index];
      }
    }
    for (const { value } of this.spec.limits) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    if (low > high) return this.logY ? [0.1, 10] : [0, 1];
    if (this.logY) {
      const room = Math.max((high / low) ** 0.35, 2);
      [low, high] = [Math.max(Math.min(low, lowest), low / room), Math.min(Math.max(high, highest), high * room)];
      const pad = Math.max((high / low) ** 0.05, 1.03);
      return [low / pad, high * pad];
    }
    const room = 0.35 * (high - low) || Infinity;
    [low, high] = [Math.max(Math.min(low, lowest), low - room), Math.min(Math.max(high, highest), high + room)];
    const pad = 0.06 * (high - low) || 0.5 * Math.abs(high) || 1;
    // Zero is worth showing where it is near.
    return [low >= 0 && low < 0.4 * high ? 0 : low - pad, high + pad];
  }

  setWindow() {
    if (!this.chart) return;
    const [min, max] = this.window();
    this.chart.setScale("x", { min, max });
  }

  draw() {
    if (!this.plot.clientWidth) return;
    this.chart?.destroy();
    this.stale = false;
    this.curves.forEach((curve) => this.prepare(curve));
    this.crowded = this.visible().filter((curve) => !curve.faint).length > MOST_READINGS;
    this.chart = new uPlot(this.options(), [this.window(), [null, null]], this.plot);
    this.dots = [];
    this.setWindow();
    this.read();
  }

  /** Says what lies outside the picture, and lets it in. */
  remark() {
    const can = this.spec.frame && (this.beyond || this.whole);
    this.note.hidden = !can;
    this.note.textContent = this.whole ? "cut off outliers" : "↕ values beyond: show";
    this.note.title = this.whole ? "Leave out of the picture what lies far outside" : "Some values lie far outside the picture; show them too";
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
        x: { time: false, distr: page.logX ? 3 : 1, range: () => this.window() },
        y: { distr: this.logY ? 3 : 1, range: () => this.range() },
      },
      axes: [this.axis("x"), this.axis("y")],
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 5 },
        bind: { dblclick: () => () => page.zoom(null) },
        points: { show: false },
        sync: { key: "stepscope", scales: ["x", null], setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      },
      hooks: {
        drawAxes: [(chart) => {
          new Drawing(this, chart).all();
          this.remark();
          this.drawn = this.curves.filter((curve) => curve.y.some((y) => y != null)).length;
          page.report();
        }],
        setCursor: [() => page.later(this)],
        setSelect: [(chart) => this.select(chart)],
      },
    };
  }

  axis(key) {
    const { page } = this;
    const isX = key === "x";
    const isLog = isX ? page.logX : this.logY;
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

  select(chart) {
    const { left, width } = chart.select;
    if (width < 5) return;
    const ends = [chart.posToVal(left, "x"), chart.posToVal(left + width, "x")];
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.page.zoom(ends);
  }

  /** Writes the readings at the cursor, or the last ones, beside the names. */
  read() {
    const { chart } = this;
    if (!chart) return;
    const { left, top } = chart.cursor;
    const visible = this.visible().filter((curve) => !curve.faint && curve.x.length);
    const at = left >= 0 && visible.length ? this.snapped(visible, chart.posToVal(left, "x")) : null;
    const found = visible.map((curve) => [curve, at == null ? curve.y.findLastIndex((y) => y != null) : nearest(curve.x, at)]);
    const place = at == null ? "last readings" : `${this.page.abscissa} ${Number(at.toPrecision(6))}`;
    if (!this.crowded || at == null) this.where.textContent = place;
    this.aim(found, at, top);
    if (this.crowded && at != null) {
      const [curve, index] = this.closest ?? [];
      this.where.replaceChildren(place, ...(curve ? [": ", element("b", {}, curve.name), " ", ...this.readingAt(curve, index, at)] : []));
      return;
    }
    for (const [curve, index] of found) this.buttons.get(curve.key)?.text.replaceChildren(...this.readingAt(curve, index, at));
  }

  /** The reading nearest to a place on the abscissa, of the curve that has most. */
  snapped(visible, value) {
    const dense = visible.reduce((a, b) => (b.x.length > a.x.length ? b : a));
    return dense.x[nearest(dense.x, value)];
  }

  /** A dot on every curve at the cursor; where there are many, on the nearest alone. */
  aim(found, at, top) {
    const { chart, page } = this;
    const places = at == null ? [] : found.flatMap(([curve, index]) => {
      const y = curve.means ? curve.means.y[nearest(curve.means.x, at)] : curve.y[index];
      if (y == null || !this.near(curve, index, at)) return [];
      return [{ curve, index, left: chart.valToPos(curve.means ? at : curve.x[index], "x"), top: chart.valToPos(y, "y") }];
    });
    const inside = places.filter((place) => place.top >= 0 && place.top <= chart.over.clientHeight);
    const best = inside.reduce((a, b) => (a && Math.abs(a.top - top) <= Math.abs(b.top - top) ? a : b), null);
    this.closest = best && [best.curve, best.index];
    const shown = this.crowded ? (best ? [best] : []) : inside;
    while (this.dots.length < shown.length) this.dots.push(chart.over.appendChild(element("div", { class: "dot" })));
    this.dots.forEach((dot, index) => {
      const place = shown[index];
      dot.hidden = !place;
      if (place) {
        dot.style.transform = `translate(${place.left}px, ${place.top}px)`;
        dot.style.background = page.colour(place.curve.look);
      }
    });
  }

  near(curve, index, at) {
    const spacing = curve.x.length > 1 ? (curve.x[curve.x.length - 1] - curve.x[0]) / (curve.x.length - 1) : 1;
    return Math.abs(at - curve.x[index]) <= 1.01 * spacing;
  }

  readingAt(curve, index, at) {
    const x = curve.x[index];
    if (x === undefined) return ["–"];
    if (at != null && !this.near(curve, index, at)) return [element("small", {}, at > x ? "ended" : "not begun")];
    const source = index + curve.from;
    if (curve.value[source] == null) {
      const reason = curve.unresolved?.[source] ?? "no value";
      return [element("small", { title: reason }, `unresolved: ${reason}`)];
    }
    const text = reading(this.spec, curve.value[source], curve.low?.[index], curve.high?.[index], curve.look.role === "pool");
    return at != null && at !== x ? [element("small", {}, `at ${Number(x.toPrecision(6))}: `), text] : [text];
  }

  key(event) {
    const { chart } = this;
    const visible = this.visible().filter((curve) => curve.x.length);
    if (!chart || !visible.length) return;
    const dense = visible.reduce((a, b) => (b.x.length > a.x.length ? b : a)).x;
    const last = dense.length - 1;
    const now = chart.cursor.left >= 0 ? nearest(dense, chart.posToVal(chart.cursor.left, "x")) : -1;
    const stride = event.shiftKey ? Math.max(1, Math.round(last / 20)) : 1;
    const target = { ArrowLeft: now < 0 ? last : now - stride, ArrowRight: now + stride, Home: 0, End: last }[event.key];
    if (event.key === "Escape") {
      this.page.zoom(null);
      chart.setCursor({ left: -10, top: -10 }, true, true);
    } else if (target !== undefined) {
      event.preventDefault();
      const x = dense[Math.min(Math.max(target, 0), last)];
      chart.setCursor({ left: chart.valToPos(x, "x"), top: chart.over.clientHeight / 2 }, true, true);
    }
  }
}
