// Charts. The server has drawn a picture already; here it becomes one that zooms and follows time. The data
// comes in buckets from the API, never more than the screen can show.
(() => {
  const colour = (token) => getComputedStyle(document.documentElement).getPropertyValue(token).trim();
  const REFRESH_MS = 10000,
    MAX_BUCKETS = 1200;

  class Chart {
    constructor(box) {
      this.box = box;
      this.plot = box.querySelector(".plot");
      this.plan = JSON.parse(box.dataset.plan);
      this.range = [this.plan.from, this.plan.to];
      this.zoomed = false;
      // The band between the lowest and the highest value: with one line only, and not for a switch.
      this.spread = this.plan.lines.length === 1 && !this.plan.switch;
      const lang = document.documentElement.lang,
        zone = this.plan.zone;
      const format = (options) =>
        new Intl.DateTimeFormat(lang, { timeZone: zone, hourCycle: "h23", ...options });
      this.clock = format({ hour: "2-digit", minute: "2-digit" });
      this.day = format({ month: "2-digit", day: "2-digit" });
      this.full = format({
        month: "2-digit",
        day: "2-digit",
        hour: "2-digit",
        minute: "2-digit",
        second: "2-digit",
      });
      this.tip = document.createElement("p");
      this.tip.className = "tip";
      this.tip.setAttribute("aria-hidden", "true");
      box.append(this.tip);
    }

    say(value) {
      if (value == null) return "–";
      if (this.plan.switch) return this.plan.words[value >= 0.5 ? 1 : 0];
      return value.toFixed(this.plan.decimals) + (this.plan.unit ? " " + this.plan.unit : "");
    }

    async load() {
      const [from, to] = this.range.map(Math.round);
      // A switch is drawn as exactly as the screen can; what is measured, with at least one value to a bucket.
      const slowest = this.plan.switch
        ? 1000
        : Math.max(...this.plan.lines.map((line) => line.interval_s), 1) * 2000;
      const count = Math.max(
        12,
        Math.min(MAX_BUCKETS, this.plot.clientWidth, Math.ceil((to - from) / slowest)),
      );
      const answers = await Promise.all(
        this.plan.lines.map(async (line) => {
          const answer = await fetch(`${line.url}?from=${from}&to=${to}&buckets=${count}`);
          if (!answer.ok) throw new Error(`${line.url}: ${answer.status}`);
          return answer.json();
        }),
      );
      const step = (to - from) / count;
      const times = Array.from({ length: count }, (_, i) => (from + (i + 0.5) * step) / 1000);
      const data = [times];
      answers.forEach((answer, k) => {
        const columns = this.plan.switch ? ["max"] : this.spread ? ["avg", "max", "min"] : ["avg"];
        const rows = columns.map(() => new Array(count).fill(null));
        for (const bucket of answer.buckets) {
          const at = Math.min(count - 1, Math.max(0, Math.floor((bucket.start_ms - from) / step + 0.5)));
          columns.forEach((column, c) => {
            rows[c][at] = bucket[column];
          });
        }
        const joined = this.joined(rows[0], step, this.plan.lines[k].interval_s * 1000);
        // A switch keeps its state until the next reading.
        for (const row of rows)
          joined.forEach((i) => {
            row[i] = this.plan.switch ? row[i - 1] : undefined;
          });
        const last = rows[0].findLastIndex((value) => value != null),
          due = (3 * this.plan.lines[k].interval_s * 1000) / step;
        if (this.plan.switch && last >= 0)
          rows[0].fill(rows[0][last], last, Math.min(count, last + Math.floor(due)));
        data.push(...rows);
      });
      return data;
    }

    // The empty buckets that a line is drawn across: where values come as far apart as they do around the place.
    // Only what is silent for more than three times as long is a gap.
    joined(row, step, interval) {
      const filled = row.flatMap((value, i) => (value == null ? [] : [i])),
        across = [];
      const apart = filled.slice(1).map((at, i) => at - filled[i]);
      const usual = (some) => some.sort((a, b) => a - b)[Math.floor(some.length / 2)] ?? 1;
      apart.forEach((gap, i) => {
        const around = Math.max(
          usual(apart.slice(Math.max(0, i - 5), i)),
          usual(apart.slice(i + 1, i + 6)),
          interval / step,
        );
        if (gap > 1 && gap <= 3 * around)
          for (let at = filled[i] + 1; at < filled[i + 1]; at++) across.push(at);
      });
      return across;
    }

    scale(low, high) {
      for (const { value } of this.plan.marks) {
        low = Math.min(low ?? value, value);
        high = Math.max(high ?? value, value);
      }
      for (const limit of this.plan.limits.slice(0, 1)) {
        low = Math.min(low ?? limit.value, limit.value);
        high = Math.max(high ?? limit.value, limit.value);
      }
      if (low == null) return [0, 1];
      if (this.plan.switch) return [-0.1, 1.1];
      const pad = Math.max((high - low) * 0.1, 0.5);
      return [low - pad, high + pad];
    }

    // The readings that matter: a ring around the one that raised the case.
    marks(u) {
      const c = u.ctx,
        r = 5 * devicePixelRatio;
      c.save();
      c.lineWidth = 2 * devicePixelRatio;
      c.strokeStyle = colour("--crit");
      c.fillStyle = colour("--card");
      for (const mark of this.plan.marks) {
        const x = u.valToPos(mark.at / 1000, "x", true),
          y = u.valToPos(mark.value, "y", true),
          { left, top, width, height } = u.bbox;
        if (x < left || x > left + width || y < top || y > top + height) continue;
        c.beginPath();
        c.arc(x, y, r, 0, 2 * Math.PI);
        c.fill();
        c.stroke();
      }
      c.restore();
    }

    limits(u) {
      const c = u.ctx,
        { left, top, width, height } = u.bbox;
      c.save();
      c.beginPath();
      c.rect(left, top, width, height);
      c.clip();
      for (const limit of this.plan.limits) {
        const y = u.valToPos(limit.value, "y", true),
          ink = colour(limit.tone === "crit" ? "--crit" : "--warn");
        c.fillStyle = c.strokeStyle = ink;
        c.globalAlpha = 0.08;
        if (limit.above) c.fillRect(left, top, width, y - top);
        else c.fillRect(left, y, width, top + height - y);
        c.globalAlpha = 0.9;
        c.lineWidth = devicePixelRatio;
        c.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        c.beginPath();
        c.moveTo(left, y);
        c.lineTo(left + width, y);
        c.stroke();
      }
      c.restore();
    }

    options() {
      const text = getComputedStyle(document.body),
        size = Math.round(parseFloat(text.fontSize) * 0.8);
      const font = `${size}px ${text.fontFamily}`,
        span = this.range[1] - this.range[0];
      const axis = {
        stroke: colour("--mute"),
        grid: { stroke: colour("--line"), width: 1 },
        ticks: { show: false },
        font,
      };
      const series = [{}],
        bands = [];
      this.plan.lines.forEach((line, i) => {
        const ink = colour(`--c${(i % 3) + 1}`),
          dense = { show: false };
        series.push({
          label: line.label,
          stroke: ink,
          width: 2,
          points: dense,
          paths: this.plan.switch ? uPlot.paths.stepped({ align: 1 }) : undefined,
        });
        if (this.spread) {
          series.push({ stroke: "transparent", points: dense }, { stroke: "transparent", points: dense });
          bands.push({ series: [2, 3], fill: ink + "2e" });
        }
      });
      return {
        width: this.plot.clientWidth,
        height: this.plot.clientHeight,
        legend: { show: false },
        bands,
        cursor: { points: { size: 7 }, drag: { x: true, y: false } },
        scales: { y: { range: (_, low, high) => this.scale(low, high) } },
        axes: [
          {
            ...axis,
            size: Math.round(size * 2.4),
            space: size * 5,
            values: (_, ticks) =>
              ticks.map((t) => (span > 2 * 864e5 ? this.day : this.clock).format(t * 1000)),
          },
          {
            ...axis,
            size: Math.round(size * (this.plan.switch ? 6 : 4.3)),
            space: size * 3,
            values: (_, ticks) => ticks.map((v) => (this.plan.switch ? (this.plan.words[v] ?? "") : v)),
          },
        ],
        series,
        hooks: {
          drawClear: [(u) => this.limits(u)],
          draw: [(u) => this.marks(u)],
          setCursor: [(u) => this.point(u)],
          setSelect: [(u) => this.zoom(u)],
          ready: [(u) => u.over.addEventListener("dblclick", () => this.reset())],
        },
      };
    }

    point(u) {
      const i = u.cursor.idx;
      if (i == null) {
        this.tip.textContent = "";
        return;
      }
      const step = this.spread ? 3 : 1,
        several = this.plan.lines.length > 1;
      const values = this.plan.lines.map((line, k) => {
        const at = 1 + k * step,
          value = this.say(u.data[at][i]);
        const spread =
          step === 3 && u.data[3][i] != null
            ? ` (${this.say(u.data[3][i])} – ${this.say(u.data[2][i])})`
            : "";
        return `${several ? line.label + " " : ""}${value}${spread}`;
      });
      this.tip.textContent = `${this.full.format(u.data[0][i] * 1000)}   ${values.join("   ")}`;
    }

    zoom(u) {
      if (u.select.width < 8) return;
      const from = u.posToVal(u.select.left, "x") * 1000,
        to = u.posToVal(u.select.left + u.select.width, "x") * 1000;
      u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      if (to - from < 60000) return;
      this.range = [from, to];
      this.zoomed = true;
      this.draw();
    }

    reset() {
      this.range = [this.plan.from, this.plan.to];
      this.zoomed = false;
      this.draw();
    }

    async draw() {
      if (!this.plan.lines.length) return;
      if (this.plan.live && !this.zoomed) {
        const now = Date.now() + this.skew();
        this.range = [this.plan.anchored ? this.plan.from : now - (this.plan.to - this.plan.from), now];
      }
      const asked = (this.asked = Symbol("newest"));
      const data = await this.load();
      if (asked !== this.asked) return;
      this.u?.destroy();
      if (!this.u) this.plot.replaceChildren();
      this.u = new uPlot(this.options(), data, this.plot);
      this.box.dataset.drawn = "yes";
    }

    skew() {
      return Number(document.body.dataset.now) - (this.opened ??= Date.now());
    }
  }

  const charts = [...document.querySelectorAll(".chart[data-plan]")].map((box) => new Chart(box));
  const draw = (chart) =>
    chart.draw().catch((error) => console.warn("the chart keeps its last picture:", error.message));
  for (const chart of charts) {
    chart.skew();
    draw(chart);
    new ResizeObserver(() =>
      chart.u?.setSize({ width: chart.plot.clientWidth, height: chart.plot.clientHeight }),
    ).observe(chart.plot);
  }
  document.addEventListener("theme", () => charts.forEach(draw));
  setInterval(() => {
    if (!document.hidden)
      charts.filter((c) => c.plan.live && !c.zoomed && c.u && c.u.cursor.idx == null).forEach(draw);
  }, REFRESH_MS);
})();
