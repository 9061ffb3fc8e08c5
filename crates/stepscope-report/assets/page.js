// The page: theme, toolbar, panels, and what the panels share.

class Page {
  constructor(data) {
    this.data = data;
    this.abscissa = "step";
    this.window = null;
    this.colours = new Map();
    this.probe = document.body.appendChild(element("span", { hidden: "" }));
    this.font = getComputedStyle(document.getElementById("toolbar")).fontFamily;
    this.panels = data.panels.map((spec) => new Panel(data, spec, this));
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
    const series = `var(--series-${run.look % NUM_LOOKS})`;
    return this.resolve(run.prediction ? `color-mix(in srgb, ${series} 62%, var(--ink))` : series);
  }

  fade(colour, share) {
    return this.resolve(`color-mix(in srgb, ${colour} ${100 * share}%, transparent)`);
  }

  start() {
    this.fillSwatches();
    this.fillTimes();
    this.buildTheme();
    if (!this.panels.length) return this.report();
    this.buildToolbar();
    for (const panel of this.panels) document.getElementById(panel.spec.main ? "panels" : "more-panels").append(panel.root);
    document.getElementById("more").hidden = this.panels.every((panel) => panel.spec.main);
    this.draw();
    const observer = new ResizeObserver((entries) => entries.forEach((entry) => this.panels.find((panel) => panel.plot === entry.target)?.resize()));
    this.panels.forEach((panel) => observer.observe(panel.plot));
    this.preparePrinting();
  }

  draw() {
    this.colours.clear();
    this.panels.forEach((panel) => panel.draw());
  }

  /** Shows a range of the abscissa in every panel, or everything. */
  zoom(ends) {
    this.window = ends;
    this.panels.forEach((panel) => panel.setWindow());
  }

  fillSwatches() {
    for (const span of document.querySelectorAll(".swatch[data-run]")) {
      const run = this.data.runs[Number(span.dataset.run)];
      span.classList.add(...swatchClasses(run));
      span.append(swatch(run));
    }
  }

  fillTimes() {
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
    const apply = () => {
      button.textContent = isDark() ? "Light theme" : "Dark theme";
      this.draw();
    };
    if (["#dark", "#light"].includes(location.hash)) root.dataset.theme = location.hash.slice(1);
    button.hidden = false;
    button.textContent = isDark() ? "Light theme" : "Dark theme";
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      apply();
    });
    system.addEventListener("change", apply);
  }

  buildToolbar() {
    const runs = this.data.runs.map((run, index) => {
      const button = element("button", { type: "button", class: "curve", "aria-pressed": "true", title: `Show or hide in every panel: ${run.name}` },
        swatchElement(run), element("span", { class: "name" }, run.name));
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(shown));
        this.panels.forEach((panel) => panel.showRun(index, shown));
      });
      return button;
    });
    const abscissae = ["step", "epoch"].map((name) => element("button", { type: "button", class: "tool", "aria-pressed": String(name === this.abscissa), onclick: () => this.setAbscissa(name, abscissae) }, name));
    const toolbar = document.getElementById("toolbar");
    toolbar.append(
      element("div", { class: "group runs", role: "group", "aria-label": "Runs" }, ...runs),
      element("div", { class: "group", role: "group", "aria-label": "Horizontal axis" }, "Horizontal axis", ...abscissae));
    toolbar.hidden = false;
  }

  setAbscissa(name, buttons) {
    this.abscissa = name;
    this.window = null;
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.textContent === name)));
    this.draw();
  }

  /** On paper: light, at the width of the sheet. */
  preparePrinting() {
    const redraw = (printing) => {
      document.documentElement.classList.toggle("printing", printing);
      this.draw();
    };
    addEventListener("beforeprint", () => redraw(true));
    addEventListener("afterprint", () => redraw(false));
  }

  /** What was drawn, for whoever looks at the page without eyes. */
  report() {
    const status = document.documentElement.dataset;
    status.panelsDrawn = String(this.panels.filter((panel) => panel.drawn > 0).length);
    status.curvesDrawn = String(this.panels.reduce((sum, panel) => sum + panel.drawn, 0));
  }
}

new Page(JSON.parse(document.getElementById("report-data").textContent)).start();
