'use strict';
// Sorting, filtering and plots of the leaderboard; sorting and the theme in the test report too.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ------------------------------------------------------------------------------------ theme
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const setTheme = (name) => { document.documentElement.dataset.theme = name; };
  setTheme(dark.matches ? 'dark' : 'light');
  dark.addEventListener('change', () => setTheme(dark.matches ? 'dark' : 'light'));
  for (const button of all('[data-theme-toggle]')) {
    button.addEventListener('click', () =>
      setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
  }

  // ---------------------------------------------------------------------------------- sorting
  // Empty cells stay last in both directions. Numbers start descending, words ascending.
  function sort(table, column, direction) {
    const body = table.tBodies[0];
    const numeric = table.tHead.rows[0].cells[column].classList.contains('num');
    const rows = [...body.rows].map((row) => ({ row, value: row.cells[column].dataset.v }));
    rows.sort((a, b) => {
      if (!a.value || !b.value) return (a.value ? 0 : 1) - (b.value ? 0 : 1);
      const order = numeric ? a.value - b.value : a.value.localeCompare(b.value, 'en', { numeric: true });
      return direction === 'ascending' ? order : -order;
    });
    body.append(...rows.map((one) => one.row));
    all('th[aria-sort]', table.tHead).forEach((one) => one.removeAttribute('aria-sort'));
    table.tHead.rows[0].cells[column].setAttribute('aria-sort', direction);
  }
  for (const table of all('table.sortable')) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector('button').addEventListener('click', () => {
        const first = head.classList.contains('num') ? 'descending' : 'ascending';
        const other = first === 'ascending' ? 'descending' : 'ascending';
        sort(table, column, head.getAttribute('aria-sort') === first ? other : first);
      });
    });
  }

  const holder = document.getElementById('data');
  if (!holder) return;
  const data = JSON.parse(holder.textContent);

  // ------------------------------------------------------------------------------------ plots
  const NS = 'http://www.w3.org/2000/svg';
  function svg(name, attributes, parent, text) {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  }
  const short = (value) => {
    for (const [size, unit] of [[1e9, ' G'], [1e6, ' M'], [1e3, ' k']]) {
      if (value >= size) return +(value / size).toPrecision(3) + unit;
    }
    return String(+value.toPrecision(3));
  };
  // Evenly spaced ticks at 1, 2 or 5 times a power of ten.
  function ticks(low, high, count) {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
    const found = [];
    for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-6; value += step) {
      found.push(+value.toPrecision(10));
    }
    return found;
  }
  function logTicks(low, high) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      for (const one of [1, 2, 5]) {
        const value = one * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found.length > 1 ? found : ticks(low, high, 4).filter((value) => value > 0);
  }
  // Points that no other one beats with less cost: smaller x, larger y.
  function front(points) {
    let best = -Infinity;
    return [...points].sort((a, b) => a.x - b.x || b.y - a.y).filter((one) => {
      if (one.y <= best) return false;
      best = one.y;
      return true;
    });
  }
  const COLOURS = ['#2f5bd0', '#d1603d', '#13877a', '#9147b5', '#b7860b', '#c2407f', '#4f7f1f', '#52657d'];
  const methods = [...new Set(data.charts.flatMap((chart) => chart.points.map((one) => one.method)))].sort();
  const colour = (method) => COLOURS[methods.indexOf(method) % COLOURS.length];

  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  document.body.append(tip);
  function showTip(node, text) {
    const box = node.getBoundingClientRect();
    tip.textContent = text;
    tip.hidden = false;
    const x = Math.min(box.right + 10, innerWidth - tip.offsetWidth - 8);
    tip.style.left = Math.max(8, x) + 'px';
    tip.style.top = Math.max(8, Math.min(box.top - 8, innerHeight - tip.offsetHeight - 8)) + 'px';
  }

  const W = 880, H = 300, LEFT = 46, RIGHT = 16, TOP = 12, BOTTOM = 40;
  function drawChart(figure, chart) {
    const before = figure.querySelector('select');
    const axis = before ? before.value : (chart.axes[0] || {}).key;
    figure.replaceChildren();
    const points = chart.points
      .filter((one) => one.axes[axis] && one.value !== null && !document.getElementById(one.id).hidden)
      .map((one) => ({ ...one, x: one.axes[axis], y: one.value }));
    figure.hidden = chart.points.filter((one) => one.axes[axis] && one.value !== null).length < 2;
    if (figure.hidden) return;

    const line = document.createElement('div');
    line.className = 'bar-line';
    const label = document.createElement('label');
    label.append(chart.metric + ' against ');
    const select = document.createElement('select');
    for (const one of chart.axes) select.add(new Option(one.label, one.key, false, one.key === axis));
    select.addEventListener('change', () => drawChart(figure, chart));
    label.append(select);
    line.append(label);
    const shown = [...new Set(points.map((one) => one.method))].sort();
    for (const method of shown) {
      const key = document.createElement('span');
      key.className = 'key';
      const dot = document.createElement('i');
      dot.style.borderColor = colour(method);
      key.append(dot, method || 'others');
      line.append(key);
    }
    const note = document.createElement('span');
    note.textContent = points.some((one) => one.ours) ? 'filled: ours · dashed: Pareto front' : 'dashed: Pareto front';
    line.append(note);
    figure.append(line);

    const root = svg('svg', { viewBox: `0 0 ${W} ${H}`, role: 'group', 'aria-label': figure.getAttribute('aria-label') }, figure);
    if (!points.length) return;
    const xs = points.map((one) => one.x), ys = points.map((one) => one.y);
    const x0 = Math.min(...xs) / 1.12, x1 = Math.max(...xs) * 1.12;
    const pad = (Math.max(...ys) - Math.min(...ys)) * 0.1 || 1;
    const y0 = Math.min(...ys) - pad, y1 = Math.max(...ys) + pad;
    const px = (x) => LEFT + Math.log(x / x0) / Math.log(x1 / x0) * (W - LEFT - RIGHT);
    const py = (y) => H - BOTTOM - (y - y0) / (y1 - y0) * (H - TOP - BOTTOM);
    for (const y of ticks(y0, y1, 5)) {
      svg('line', { class: 'grid', x1: LEFT, x2: W - RIGHT, y1: py(y), y2: py(y) }, root);
      svg('text', { x: LEFT - 8, y: py(y) + 4, 'text-anchor': 'end' }, root, String(y));
    }
    for (const x of logTicks(x0, x1)) {
      svg('line', { class: 'grid', x1: px(x), x2: px(x), y1: TOP, y2: H - BOTTOM }, root);
      svg('text', { x: px(x), y: H - BOTTOM + 17, 'text-anchor': 'middle' }, root, short(x));
    }
    const name = chart.axes.find((one) => one.key === axis).label;
    svg('text', { x: W - RIGHT, y: H - 4, 'text-anchor': 'end' }, root, name);
    const best = front(points);
    // A step: with that cost, this is the most there is.
    const path = best.map((one, at) => (at ? `H${px(one.x)}V${py(one.y)}` : `M${px(one.x)},${py(one.y)}`)).join('');
    svg('path', { class: 'front', d: path + `H${W - RIGHT}`, 'data-front': best.map((one) => one.id).join(' ') }, root);
    for (const one of points) {
      const text = `${one.name}\n${chart.metric} ${+one.y.toFixed(2)}, ${short(one.x)} ${name}`;
      const dot = svg('circle', {
        class: 'point', cx: px(one.x), cy: py(one.y), r: one.ours ? 6.5 : 5, tabindex: 0, role: 'link',
        'aria-label': text.replace('\n', ', '), stroke: colour(one.method),
        fill: one.ours ? colour(one.method) : 'var(--panel)', 'data-row': one.id,
      }, root);
      const row = document.getElementById(one.id);
      const go = () => row.scrollIntoView({ block: 'center' });
      const enter = () => { row.classList.add('lit'); showTip(dot, text); };
      const leave = () => { row.classList.remove('lit'); tip.hidden = true; };
      dot.addEventListener('pointerenter', enter);
      dot.addEventListener('focus', enter);
      dot.addEventListener('pointerleave', leave);
      dot.addEventListener('blur', leave);
      dot.addEventListener('click', go);
      dot.addEventListener('keydown', (event) => { if (event.key === 'Enter') go(); });
    }
  }

  function drawCurve(parent, name, points) {
    const figure = document.createElement('figure');
    figure.className = 'chart';
    const [w, h, left, bottom] = [340, 150, 44, 22];
    const root = svg('svg', { viewBox: `0 0 ${w} ${h}`, role: 'img', 'aria-label':
      `${name}: from ${points[0][1]} to ${points[points.length - 1][1]}` }, figure);
    const xs = points.map((one) => one[0]), ys = points.map((one) => one[1]);
    const x0 = Math.min(...xs), x1 = Math.max(...xs);
    const pad = (Math.max(...ys) - Math.min(...ys)) * 0.06 || 0.5;
    const y0 = Math.min(...ys) - pad, y1 = Math.max(...ys) + pad;
    const px = (x) => left + (x - x0) / (x1 - x0 || 1) * (w - left - 8);
    const py = (y) => h - bottom - (y - y0) / (y1 - y0) * (h - bottom - 8);
    for (const y of ticks(y0, y1, 3)) {
      svg('line', { class: 'grid', x1: left, x2: w - 8, y1: py(y), y2: py(y) }, root);
      svg('text', { x: left - 6, y: py(y) + 4, 'text-anchor': 'end' }, root, short(y));
    }
    for (const x of ticks(x0, x1, 4)) svg('text', { x: px(x), y: h - 6, 'text-anchor': 'middle' }, root, short(x));
    svg('path', { fill: 'none', stroke: 'var(--accent)', 'stroke-width': 1.6, 'stroke-linejoin': 'round',
      d: points.map((one, at) => `${at ? 'L' : 'M'}${px(one[0]).toFixed(1)},${py(one[1]).toFixed(1)}`).join('') }, root);
    const caption = document.createElement('figcaption');
    caption.textContent = name;
    figure.append(caption);
    parent.append(figure);
  }
  for (const parent of all('[data-curves]')) {
    for (const [name, points] of Object.entries(data.curves[parent.dataset.curves])) drawCurve(parent, name, points);
  }

  // ---------------------------------------------------------------------------------- filters
  const control = (id) => document.getElementById(id);
  function apply() {
    const words = control('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
    const method = control('method').value, kind = control('kind').value, dataset = control('dataset').value;
    let shown = 0, total = 0;
    for (const section of all('section.table')) {
      let here = 0;
      for (const row of all('tbody tr', section)) {
        row.hidden = !(words.every((word) => row.dataset.text.includes(word))
          && (!method || row.dataset.method === method) && (!kind || row.classList.contains(kind)));
        here += !row.hidden;
        total += 1;
      }
      const other = dataset !== '' && section.dataset.table !== dataset;
      section.hidden = other || (!here && dataset === '');
      section.querySelector('.empty').hidden = here > 0;
      shown += other ? 0 : here;
      const figure = section.querySelector('[data-chart]');
      drawChart(figure, data.charts[figure.dataset.chart]);
    }
    control('count').textContent = shown === total ? `${total} rows` : `${shown} of ${total} rows`;
  }
  for (const id of ['filter', 'method', 'kind', 'dataset']) control(id).addEventListener('input', apply);
  document.querySelector('.controls form').addEventListener('submit', (event) => event.preventDefault());
  apply();

  // A link to a run opens it; print shows everything.
  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === 'DETAILS') target.open = true;
  }
  addEventListener('hashchange', openTarget);
  openTarget();
  let closed = [];
  addEventListener('beforeprint', () => {
    closed = all('#runs > details').filter((one) => !one.open);
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener('afterprint', () => closed.forEach((one) => { one.open = false; }));
})();
