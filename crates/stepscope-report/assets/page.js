// The page: theme, toolbar, panels, and what the panels share.

class Page {
  constructor(data) {
    this.abscissa = "step";
    this.logX = false;
    this.pooling = true;
    this.window = null;
    this.hidden = new Set();
    this.filter = "";
    this.colours = new Map();
    this.abscissae = new WeakMap();
    this.panels = new Map();
    this.waiting = new Set();
    this.probe = document.body.appendChild(element("span", { hidden: "" }));
    this.font = getComputedStyle(document.getElementById("toolbar")).fontFamily;
    this.seen = new IntersectionObserver((entries) => this.sight(entries), { rootMargin: "400px" });
    this.sized = new ResizeObserver((entries) => entries.forEach((entry) => this.panelOf(entry.target)?.resize()));
    this.take(data);
  }

  /** Takes in data, at first and whenever a live page has new ones: panels that stay keep their state. */
  take(data) {
    this.data = data;
    this.pools = new Map(data.runs.filter((run) => run.role === "pool").map((run) => [run.look, keyOf(run)]));
    const names = new Set();
    for (const group of data.groups) {
      const room = this.room(group);
      for (const spec of group.panels) {
        names.add(spec.name);
        const known = this.panels.get(spec.name);
        if (known) known.take(spec);
        else this.add(new Panel(this, spec), room);
      }
    }
    for (const [name, panel] of this.panels) if (!names.has(name)) this.remove(name, panel);
    for (const section of document.querySelectorAll("#more-panels > section")) section.hidden = !section.querySelector(".panel");
    document.getElementById("curves").hidden = !this.panels.size;
  }

  /** Where the panels of a group stand: a section of its own, in the order of the groups. */
  room(group) {
    if (group.key === "main") {
      const main = document.getElementById("panels");
      return main.firstElementChild ?? main.appendChild(element("div", { class: "panels" }));
    }
    const rooms = document.getElementById("more-panels");
    const known = [...rooms.children].find((section) => section.dataset.group === group.key);
    if (known) return known.lastElementChild;
    const room = element("div", { class: "panels" });
    const order = this.data.groups.map((candidate) => candidate.key);
    const next = [...rooms.children].find((section) => order.indexOf(section.dataset.group) > order.indexOf(group.key));
    rooms.insertBefore(element("section", { "data-group": group.key }, element("h2", {}, group.heading), room), next ?? null);
    return room;
  }

  add(panel, room) {
    this.panels.set(panel.spec.name, panel);
    const order = this.data.groups.flatMap((group) => group.panels.map((spec) => spec.name));
    const next = [...room.children].find((root) => order.indexOf(root.dataset.name) > order.indexOf(panel.spec.name));
    room.insertBefore(panel.root, next ?? null);
    this.seen.observe(panel.root);
    this.sized.observe(panel.plot);
  }

  remove(name, panel) {
    this.seen.unobserve(panel.root);
    this.sized.unobserve(panel.plot);
    panel.chart?.destroy();
    panel.root.remove();
    this.panels.delete(name);
  }

  panelOf(plot) {
    return [...this.panels.values()].find((panel) => panel.plot === plot);
  }

  /** Panels are drawn when they come near the window, the others when there is time. */
  sight(entries) {
    for (const entry of entries) {
      const panel = this.panels.get(entry.target.dataset.name);
      if (!panel) continue;
      panel.inSight = entry.isIntersecting;
      if (panel.inSight && panel.stale) panel.draw();
    }
    this.drawRest();
  }

  drawRest() {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      const panel = [...this.panels.values()].find((candidate) => candidate.stale && !candidate.root.hidden);
      if (!panel) return;
      panel.draw();
      if (!panel.stale) this.drawRest();
    }, 15);
  }

  draw() {
    this.colours.clear();
    this.panels.forEach((panel) => { panel.stale = true; });
    this.panels.forEach((panel) => { if (panel.inSight) panel.draw(); });
    this.drawRest();
  }

  /** Reads a panel at the next frame: a cursor moves more often than a screen shows, in all panels at once. */
  later(panel) {
    if (!this.waiting.size) requestAnimationFrame(() => {
      const panels = [...this.waiting];
      this.waiting.clear();
      panels.filter((candidate) => candidate.inSight !== false).forEach((candidate) => candidate.read());
    });
    this.waiting.add(panel);
  }

  /** The abscissa of an axis: steps, or the epochs that belong to them. */
  abscissaOf(axis) {
    if (this.abscissa === "step") return axis.step;
    if (Array.isArray(axis.epoch)) return axis.epoch;
    if (!this.abscissae.has(axis)) this.abscissae.set(axis, axis.step.map((step) => step * axis.epoch));
    return this.abscissae.get(axis);
  }

  poolOf(run) {
    return this.pools.get(run.look);
  }

  /** A colour of the style sheet as the current theme resolves it; remembered, since asking costs a layout. */
  resolve(colour) {
    if (!this.colours.has(colour)) {
      this.probe.style.color = colour;
      this.colours.set(colour, getComputedStyle(this.probe).color);
    }
    return this.colours.get(colour);
  }

  ink(name) {
    return this.resolve(`var(${name})`);
  }

  paper() {
    return this.ink("--paper");
  }

  /** The colour of a run; that of its prediction is the same, drawn towards the text's. */
  colour(run) {
    const series = styleColour(run);
    return this.resolve(isPrediction(run) ? `color-mix(in srgb, ${series} 62%, var(--ink))` : series);
  }

  start() {
    this.dressUp();
    this.buildTheme();
    this.buildToolbar();
    this.report();
    this.preparePrinting();
    // Also where nothing comes into view, as in a browser without a window.
    this.drawRest();
  }

  /** Shows a range of the abscissa in every panel, or everything. */
  zoom(ends) {
    this.window = ends;
    this.unzoom.disabled = !ends;
    this.panels.forEach((panel) => panel.setWindow());
  }

  /** What only a script can put into the sections: swatches, and times as a reader writes them. */
  dressUp() {
    for (const span of document.querySelectorAll(".swatch[data-run]")) {
      const run = this.data.runs[Number(span.dataset.run)];
      if (run) dress(span, run);
    }
    for (const time of document.querySelectorAll("time[data-unix]")) {
      const text = new Date(1000 * Number(time.dataset.unix)).toISOString();
      time.setAttribute("datetime", text);
      time.textContent = `${text.slice(0, 10)} ${text.slice(11, 16)} UTC`;
    }
  }

  /** Dark and light: what the address or the button says, else what the system prefers. */
  buildTheme() {
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)");
    const button = document.getElementById("theme");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const say = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    const apply = () => {
      say();
      this.draw();
    };
    if (["#dark", "#light"].includes(location.hash)) root.dataset.theme = location.hash.slice(1);
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      apply();
    });
    system.addEventListener("change", apply);
  }

  buildToolbar() {
    this.runButtons = element("div", { class: "group runs", role: "group", "aria-label": "Runs" });
    const abscissae = ["step", "epoch"].map((name) => element("button", { type: "button", class: "tool", "aria-pressed": String(name === this.abscissa), onclick: () => this.setAbscissa(name, abscissae) }, name));
    const log = toggleButton("log x", this.logX, "Logarithmic horizontal axis; step 0 has no place on it", (on) => {
      this.logX = on;
      this.draw();
    });
    this.unzoom = element("button", { type: "button", class: "tool", disabled: "", title: "Show everything again (double click, Escape)", onclick: () => this.zoom(null) }, "reset zoom");
    this.seeds = toggleButton("pool seeds", this.pooling, "Median over seeds with its interval, or every seed by itself", (on) => {
      this.pooling = on;
      this.fillToolbar();
      this.panels.forEach((panel) => panel.list());
      this.draw();
    });
    const search = element("input", { type: "search", placeholder: "Find a quantity", "aria-label": "Find a quantity", oninput: (event) => this.find(event.target.value) });
    const toolbar = document.getElementById("toolbar");
    toolbar.replaceChildren(this.runButtons,
      element("div", { class: "group", role: "group", "aria-label": "What is shown" }, search, this.seeds, ...abscissae, log, this.unzoom));
    this.fillToolbar();
  }

  /** The runs of the toolbar: pools or seeds, as they are drawn. */
  fillToolbar() {
    const other = this.pooling ? "member" : "pool";
    const shown = this.data.runs.filter((run) => run.role !== other);
    this.seeds.hidden = !this.pools.size;
    this.runButtons.replaceChildren(...shown.map((run) => {
      const key = keyOf(run);
      const button = element("button", { type: "button", class: "curve", "aria-pressed": String(!this.hidden.has(key)), title: `Show or hide in every panel: ${run.name}. With Alt: show it alone.` },
        swatchElement(run), element("span", { class: "name" }, run.name));
      button.addEventListener("click", (event) => this.toggleRun(key, event.altKey, shown));
      return button;
    }));
    document.getElementById("toolbar").hidden = !this.panels.size;
  }

  toggleRun(key, alone, shown) {
    if (alone) this.hidden = new Set(this.hidden.has(key) || this.hidden.size < shown.length - 1 ? shown.map(keyOf).filter((other) => other !== key) : []);
    else if (!this.hidden.delete(key)) this.hidden.add(key);
    this.fillToolbar();
    this.panels.forEach((panel) => panel.press());
    this.draw();
  }

  /** Shows only the panels whose name or title holds every word. */
  find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { root, spec } of this.panels.values()) root.hidden = !words.every((word) => `${spec.name} ${spec.title}`.toLowerCase().includes(word));
    for (const section of document.querySelectorAll("#more-panels > section")) section.hidden = ![...section.querySelectorAll(".panel")].some((root) => !root.hidden);
    this.drawRest();
  }

  setAbscissa(name, buttons) {
    this.abscissa = name;
    this.zoom(null);
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === name)));
    this.draw();
  }

  /** On paper: light, at the width of the sheet, every panel drawn. */
  preparePrinting() {
    const redraw = (printing) => {
      document.documentElement.classList.toggle("printing", printing);
      this.colours.clear();
      this.panels.forEach((panel) => panel.draw());
    };
    addEventListener("beforeprint", () => redraw(true));
    addEventListener("afterprint", () => redraw(false));
  }

  /** What was drawn, for whoever looks at the page without eyes. */
  report() {
    const status = document.documentElement.dataset;
    const panels = [...this.panels.values()];
    status.panels = String(panels.length);
    status.panelsDrawn = String(panels.filter((panel) => panel.drawn > 0).length);
    status.curvesDrawn = String(panels.reduce((sum, panel) => sum + panel.drawn, 0));
    status.shownAfter ??= String(Math.round(performance.now()));
  }
}
