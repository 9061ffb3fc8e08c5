// What is drawn inside the frame of a panel. uPlot keeps axes, scales and the cursor; curves are drawn here, each on its
// own abscissa, so that a hundred runs need no common table.

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

/** First position in an ascending list whose entry is not below a value. */
function firstFrom(list, value) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

class Drawing {
  constructor(panel, chart) {
    this.panel = panel;
    this.chart = chart;
    this.page = panel.page;
    this.ratio = uPlot.pxRatio;
    this.ctx = chart.ctx;
    this.x = this.scale("x");
    this.y = this.scale("y");
  }

  /** Where a value lies on the canvas; uPlot's own function, without asking for the scale's kind each time. */
  scale(key) {
    const { bbox, scales } = this.chart;
    const { min, max, distr } = scales[key];
    const log = distr === 3;
    const [low, high] = log ? [Math.log10(min), Math.log10(max)] : [min, max];
    const [start, length] = key === "x" ? [bbox.left, bbox.width] : [bbox.top + bbox.height, -bbox.height];
    const factor = length / (high - low || 1);
    return log ? (value) => start + factor * (Math.log10(Math.max(value, Number.MIN_VALUE)) - low) : (value) => start + factor * (value - low);
  }

  /** Runs a drawing with the canvas clipped to the frame, and so many pixels around it. */
  clipped(around, drawing) {
    const { ctx, ratio } = this;
    const { bbox } = this.chart;
    const more = around * ratio;
    ctx.save();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.rect(bbox.left - more, bbox.top - more, bbox.width + 2 * more, bbox.height + 2 * more);
    ctx.clip();
    drawing();
    ctx.restore();
  }

  all() {
    const shown = this.panel.visible();
    const seeds = shown.filter((curve) => curve.faint);
    const main = shown.filter((curve) => !curve.faint);
    this.clipped(0, () => {
      this.limits();
      main.forEach((curve) => this.band(curve));
      seeds.forEach((curve) => this.line(curve));
      main.forEach((curve) => this.line(curve));
    });
    this.clipped(5, () => main.forEach((curve) => this.marks(curve)));
  }

  /** Positions of a curve that are in view, with one more at either side. */
  span(x) {
    const { min, max } = this.chart.scales.x;
    return [Math.max(0, firstFrom(x, min) - 1), Math.min(x.length, firstFrom(x, max) + 2)];
  }

  trace(x, y, steps) {
    const { ctx } = this;
    const [from, to] = this.span(x);
    let broken = true;
    let last = 0;
    ctx.beginPath();
    for (let index = from; index < to; index += 1) {
      if (y[index] == null) {
        broken = true;
        continue;
      }
      const [left, top] = [this.x(x[index]), this.y(y[index])];
      if (broken) ctx.moveTo(left, top);
      else {
        if (steps) ctx.lineTo(left, last);
        ctx.lineTo(left, top);
      }
      [broken, last] = [false, top];
    }
    ctx.stroke();
  }

  line(curve) {
    const { ctx, ratio, panel } = this;
    const { shape } = panel.spec;
    if (shape === "points") return;
    const thin = curve.faint || curve.means;
    ctx.lineJoin = "round";
    ctx.strokeStyle = curve.colour;
    ctx.globalAlpha = curve.faint ? 0.3 : curve.means ? 0.22 : 1;
    ctx.lineWidth = ratio * (thin ? 1 : isPrediction(curve.look) ? 1.75 : 2);
    ctx.setLineDash(dashes(curve.look).map((length) => length * ratio));
    this.trace(curve.x, curve.y, shape === "steps");
    if (curve.means && !curve.faint) {
      ctx.globalAlpha = 1;
      ctx.lineWidth = 2 * ratio;
      this.trace(curve.means.x, curve.means.y, false);
    }
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
  }

  limits() {
    const { ctx, ratio } = this;
    const { bbox } = this.chart;
    ctx.strokeStyle = this.page.ink("--ink");
    ctx.lineWidth = ratio;
    ctx.setLineDash([1.5 * ratio, 3 * ratio]);
    for (const limit of this.panel.spec.limits) {
      const y = this.y(limit.value);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }

  /** A band between the ends of the errors; a bar where a reading has no neighbour. */
  band(curve) {
    if (!curve.low || curve.means) return;
    const { ctx, ratio, panel } = this;
    const floor = panel.logY ? this.chart.scales.y.min / 10 : -Infinity;
    const place = (index, end) => [this.x(curve.x[index]), this.y(Math.max(curve[end][index], floor))];
    ctx.fillStyle = ctx.strokeStyle = curve.colour;
    ctx.lineWidth = 1.25 * ratio;
    for (const part of this.parts(curve)) {
      if (part.length > 1 && panel.spec.shape !== "points") {
        ctx.globalAlpha = curve.look.role === "pool" ? 0.2 : 0.14;
        const corners = [...part.map((index) => place(index, "low")), ...part.toReversed().map((index) => place(index, "high"))];
        ctx.beginPath();
        corners.forEach(([x, y], corner) => (corner ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
        ctx.fill();
      } else {
        ctx.globalAlpha = 0.5;
        for (const index of part) {
          ctx.beginPath();
          ctx.moveTo(...place(index, "low"));
          ctx.lineTo(...place(index, "high"));
          ctx.stroke();
        }
      }
    }
    ctx.globalAlpha = 1;
  }

  /** Stretches of readings in view that have errors, without gaps. */
  parts(curve) {
    const parts = [[]];
    const [from, to] = this.span(curve.x);
    for (let index = from; index < to; index += 1) {
      if (curve.y[index] != null && curve.low[index] != null) parts[parts.length - 1].push(index);
      else if (parts[parts.length - 1].length) parts.push([]);
    }
    return parts.filter((part) => part.length);
  }

  marks(curve) {
    const [x, y] = curve.means ? [curve.means.x, curve.means.y] : [curve.x, curve.y];
    const places = [];
    const [from, to] = this.span(x);
    for (let index = from; index < to; index += 1) if (y[index] != null) places.push([this.x(x[index]), this.y(y[index])]);
    const last = curve.y.findLastIndex((value) => value != null);
    const end = curve.look.diverged && last >= 0 ? [this.x(curve.x[last]), this.y(curve.y[last])] : null;
    if (end && !curve.means) places.pop();
    if (!isPrediction(curve.look) && !this.panel.crowded) this.spaced(places, curve).forEach((place) => this.mark(place, curve));
    if (end) this.end(end, curve);
  }

  /** Every reading of a sparse curve; of a dense one a marker now and then, so that colour is not the only cue. */
  spaced(places, curve) {
    if (this.panel.spec.shape === "points" || !places.length) return places;
    const sparse = places.length <= 60 && !curve.means;
    let next = sparse ? -Infinity : places[0][0] + (30 + 23 * (curve.look.look % 5)) * this.ratio;
    return places.filter(([x]) => {
      if (x < next) return false;
      next = x + (sparse ? 11 : 130) * this.ratio;
      return true;
    });
  }

  mark([x, y], curve) {
    const { ctx, ratio } = this;
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

  /** Where a run ended by diverging: a cross, at the upper border where the end lies beyond it. */
  end([x, y], curve) {
    const { ctx, ratio } = this;
    const { bbox } = this.chart;
    const size = 5 * ratio;
    const top = Math.max(y, bbox.top + size);
    ctx.strokeStyle = curve.colour;
    ctx.lineWidth = 2.25 * ratio;
    ctx.beginPath();
    for (const [dx, dy] of [[1, 1], [1, -1]]) {
      ctx.moveTo(x - size * dx, top - size * dy);
      ctx.lineTo(x + size * dx, top + size * dy);
    }
    ctx.stroke();
    if (this.panel.crowded) return;
    const roomAtRight = x < bbox.left + bbox.width - 70 * ratio;
    const place = [x + (roomAtRight ? 2 : -2) * size, Math.max(top + 4 * ratio, bbox.top + 11 * ratio)];
    this.write("diverged", place, roomAtRight ? "left" : "right", curve.colour);
  }

  /** A short text over the curves, kept apart from them by a rim of paper. */
  write(text, [x, y], align, colour) {
    const { ctx, ratio } = this;
    ctx.font = `${11 * ratio}px ${this.page.font}`;
    ctx.textAlign = align;
    ctx.textBaseline = "alphabetic";
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * ratio;
    ctx.strokeStyle = this.page.paper();
    ctx.strokeText(text, x, y);
    ctx.fillStyle = colour;
    ctx.fillText(text, x, y);
  }
}
