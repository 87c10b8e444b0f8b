/* Charts of the team and model pages, drawn by uPlot from the JSON beside them. */
(() => {
  "use strict";
  const DASHES = [[], [8, 4], [8, 3, 2, 3], [2, 3]];
  const COLOURS = ["--accent", "--risk3", "--unsure", "--genuine"];
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
      paths: bars ? uPlot.paths.bars({size: [0.8, 40], align: place === 0 ? -1 : 1}) : undefined,
      points: {show: chart.kind === "points", size: 7, fill: colour},
    };
  }

  /* The name of a line stands at its end, so that nobody has to match colours. */
  function names(chart) {
    return (plot) => {
      if (chart.kind === "points") return;
      plot.ctx.save();
      plot.ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      plot.ctx.textAlign = "right";
      chart.series.forEach((series, place) => {
        let last = series.values.length - 1;
        while (last >= 0 && series.values[last] == null) last -= 1;
        if (last < 0) return;
        plot.ctx.fillStyle = ink(COLOURS[place % COLOURS.length]);
        const x = Math.min(plot.valToPos(chart.at[last], "x", true), plot.bbox.left + plot.bbox.width);
        plot.ctx.fillText(series.name, x, plot.valToPos(series.values[last], "y", true) - 6 * devicePixelRatio);
      });
      plot.ctx.restore();
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
    const x = chart.axis === "time" ? {time: true} : {time: false, range: [0, 1]};
    if (chart.diagonal) return {x, y: {range: [0, 1]}};
    return {x, y: chart.log ? {distr: 3} : {range: (plot, low, high) => [0, Math.max(1, high * 1.15)]}};
  }

  function draw(box) {
    const chart = JSON.parse(document.getElementById(box.dataset.chart).textContent);
    box.replaceChildren();
    if (!chart.at.length) return;
    const shares = chart.axis === "share" ? {values: (plot, values) => values.map(per)} : {};
    new uPlot({
      width: box.clientWidth, height: box.clientHeight, legend: {show: false}, cursor: {show: false}, scales: scales(chart),
      series: [{}, ...chart.series.map((series, place) => line(chart, series, place))],
      axes: [axis(shares), axis({size: 56, ...shares})],
      hooks: {draw: [names(chart), ...(chart.diagonal ? [diagonal] : [])]},
    }, [chart.at, ...chart.series.map((series) => series.values)], box);
  }

  const redraw = () => document.querySelectorAll("[data-chart]").forEach(draw);
  redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 150); });
})();
