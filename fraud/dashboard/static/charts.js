/* Charts of the team and model pages, drawn by uPlot from the JSON beside them. */
(() => {
  "use strict";
  const DASHES = [[], [8, 4], [8, 3, 2, 3], [2, 3]];
  const COLOURS = ["--accent", "--risk3", "--unsure", "--genuine"];
  const ROOM = 64; // beside the plot, for the names of lines
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const per = (value) => value == null ? "" : `${(100 * value).toLocaleString(undefined, {maximumSignificantDigits: 2})} %`;

  function axis(extra) {
    return {stroke: ink("--text2"), grid: {stroke: ink("--line"), width: 1}, ticks: {stroke: ink("--line"), width: 1},
      font: "11px system-ui, sans-serif", ...extra};
  }

  function line(chart, series, place) {
    const colour = ink(COLOURS[place % COLOURS.length]);
    const bars = chart.kind === "bars";
    return {
      label: series.name, stroke: colour, width: 1.5, dash: bars ? [] : DASHES[place % DASHES.length],
      fill: bars && place === 0 ? colour + "55" : undefined,
      paths: bars ? uPlot.paths.bars({size: [0.35, 40], align: place === 0 ? -1 : 1}) : undefined,
      points: {show: chart.kind === "points", size: 7, fill: colour},
    };
  }

  /* The name of a line stands behind its end, beside the plot; those of bars in a corner: nobody has to match colours. */
  function names(chart) {
    return (plot) => {
      if (chart.kind === "points") return;
      const {ctx, bbox} = plot;
      const high = 13 * devicePixelRatio;
      const behind = chart.kind === "lines";
      ctx.save();
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = behind ? "left" : "right";
      ctx.textBaseline = behind ? "middle" : "alphabetic";
      const ends = chart.series.map((series, place) => {
        const last = series.values.findLastIndex((value) => value != null);
        const y = !behind || last < 0 ? bbox.top + high : plot.valToPos(series.values[last], "y", true);
        return {name: series.name, place, y};
      }).sort((one, other) => one.y - other.y);
      ends.forEach((end, place) => {
        if (place) end.y = Math.max(end.y, ends[place - 1].y + high);
        ctx.fillStyle = ink(COLOURS[end.place % COLOURS.length]);
        ctx.fillText(end.name, bbox.left + bbox.width + (behind ? high / 2 : 0), end.y);
      });
      ctx.restore();
    };
  }

  function diagonal(plot) {
    const to = (value) => [plot.valToPos(value, "x", true), plot.valToPos(value, "y", true)];
    plot.ctx.save();
    plot.ctx.strokeStyle = ink("--control");
    plot.ctx.setLineDash([4, 4]);
    plot.ctx.beginPath();
    plot.ctx.moveTo(...to(0));
    plot.ctx.lineTo(...to(1));
    plot.ctx.stroke();
    plot.ctx.restore();
  }

  function scales(chart) {
    const x = {time: false};
    if (chart.axis === "share") x.range = [0, 1];
    if (chart.axis === "band") x.range = [-0.5, chart.at.length - 0.5];
    if (chart.diagonal) return {x, y: {range: [0, 1]}};
    return {x, y: chart.log ? {distr: 3} : {range: (plot, low, high) => [0, Math.max(1, high * 1.15)]}};
  }

  /* Moments go by the reader's zone, which the page knows; the form of a number is the browser's. */
  const hour = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], {
    hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: document.documentElement.dataset.zone,
  });

  function places(chart) {
    if (chart.axis === "band") {
      const step = Math.ceil(chart.at.length / 8); // as many names as have room beside each other
      const shown = chart.at.filter((place) => place % step === 0);
      return axis({splits: shown, values: (plot, found) => found.map((value) => chart.bands[value] ?? "")});
    }
    if (chart.axis === "time") return axis({incrs: [3600, 7200, 14400, 21600], values: (plot, found) => found.map(hour)});
    return axis({values: (plot, found) => found.map(per)});
  }

  function draw(box) {
    const chart = JSON.parse(document.getElementById(box.dataset.chart).textContent);
    box.replaceChildren();
    if (!chart.at.length) return;
    const shares = chart.axis === "time" ? {} : {values: (plot, found) => found.map(per)};
    new uPlot({
      width: box.clientWidth, height: box.clientHeight, legend: {show: false}, cursor: {show: false}, scales: scales(chart),
      series: [{}, ...chart.series.map((series, place) => line(chart, series, place))],
      axes: [places(chart), axis({size: 60, ...shares})], padding: [null, chart.kind === "lines" ? ROOM : null, null, null],
      hooks: {draw: [names(chart), ...(chart.diagonal ? [diagonal] : [])]},
    }, [chart.at, ...chart.series.map((series) => series.values)], box);
  }

  const redraw = () => document.querySelectorAll("[data-chart]").forEach(draw);
  redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 150); });
})();
